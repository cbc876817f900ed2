"""Keys and bytes in Redis that Ruby Resque and node-resque read as well."""
