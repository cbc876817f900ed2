"""Interfaces to systemd: notifications, units, and the files of an installation."""
