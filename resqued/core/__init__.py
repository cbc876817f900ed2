"""Decisions as pure functions: they take values, the time included, and return values.

Every process imports them. They must not read a clock, look at a process, open a
socket or write to a log.
"""
