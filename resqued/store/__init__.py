"""Everything in Redis: one thin layer over keys, scripts and connections."""
