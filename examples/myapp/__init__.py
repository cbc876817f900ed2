"""A small application whose slow parts are jobs."""

from __future__ import annotations

import os
from pathlib import Path

# Where the application keeps its files.
DATA = Path(os.environ.get("MYAPP_DATA", "data"))
