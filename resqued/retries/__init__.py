"""Retries: what a job declares of them, and how its attempts are named."""
