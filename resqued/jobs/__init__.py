"""Declaring jobs, and finding them again."""
