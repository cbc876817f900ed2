"""Facts about hosts, servers, masters, workers and queues, and their judgement."""
