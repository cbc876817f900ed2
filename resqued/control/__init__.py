"""The control socket of a master: both ends, and what is said on it."""
