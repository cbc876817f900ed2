"""The errors of the benchmark, each of which is printed as one line."""


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


class BusyServerError(BenchError):
    """The given database holds keys, which the benchmark would delete."""
