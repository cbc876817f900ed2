"""The control socket of a master: both ends, requests and replies."""
