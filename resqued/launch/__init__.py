"""Starting a master, here, as a daemon or in place of an older one; stopping it."""
