"""Faults on a running pool, one after another, and a count of the jobs at the end.

`python -m bench.chaos`, or `make chaos`: real processes, real signals, and an embedded
server. See docs/reliability.md.
"""
