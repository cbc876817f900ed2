"""Retries: what a job, and the configuration, declare of them."""
