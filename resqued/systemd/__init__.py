"""What systemd reads: notifications, units, and the files of an installation."""
