"""`python -m resqued` is the resqued command."""

from __future__ import annotations

from resqued.cli import main

main()
