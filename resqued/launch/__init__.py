"""Starting a master: in the foreground, as a daemon, or in place of an older one."""
