"""Hooks of jobs and of workers: registered, found, and run around a job."""
