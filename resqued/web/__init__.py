"""The web front end: pages that show jobs and retry or remove failed ones.

It needs Redis alone: it imports no application and runs nothing that a payload names.
"""
