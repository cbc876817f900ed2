"""Facts about hosts, servers, masters, workers and queues, and what they mean."""
