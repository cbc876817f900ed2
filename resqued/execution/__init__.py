"""Parts of the worker: the running job, the children, what it shows and records."""
