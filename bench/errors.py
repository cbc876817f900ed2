"""What can go wrong here and is told in one line."""


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


class BusyServerError(BenchError):
    """The database that was given holds keys, which measuring would delete."""
