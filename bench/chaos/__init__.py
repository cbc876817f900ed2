"""Faults, one after another, on a pool at work; then a count of what became of it.

`python -m bench.chaos`, or `make chaos`: real processes, real signals, a server of
its own. See docs/reliability.md.
"""
