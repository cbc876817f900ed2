"""Start of a master, here, as a daemon or replacing its program; its stop."""
