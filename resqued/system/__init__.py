"""Interfaces to the operating system: one feature of it in each module."""
