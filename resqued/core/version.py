"""The version, where everything below the command line can read it."""

VERSION = "0.1.0"
