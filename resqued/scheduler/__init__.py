"""Delayed and recurring jobs: what enqueues them, and the parts of the master."""
