"""The operating system: one thing of the kernel, or of the host, in each module."""
