"""Facts about hosts, servers, workers and queues, and what they mean."""
