"""The configuration: its keys, its layers, and the resulting settings."""
