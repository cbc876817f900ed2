"""Parts of the worker: the running job, the children, reports and registration."""
