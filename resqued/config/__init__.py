"""The configuration: keys, layers, and the settings that come of them."""
