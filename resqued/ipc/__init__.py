"""Communication of the processes of one master: messages, shared memory, pipes."""
