"""The log: events, records of the journal, and what jobs print."""
