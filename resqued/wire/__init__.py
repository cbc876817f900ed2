"""Formats shared with Ruby Resque and node-resque: keys, payloads, ids and titles.

Every process imports them. They read and write text, and must not ask a server.
"""
