"""A small application whose slow parts are jobs."""
