"""All access to Redis: connections, Lua scripts, and functions over the keys."""
