"""Failure back ends: where failures go, in Redis and to other services."""
