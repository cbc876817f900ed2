"""Parts of the master: the pool and its workers, limits, generations, the registry."""
