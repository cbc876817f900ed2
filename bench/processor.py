"""The processor's model, for the pages about measurements."""

import platform
import re
from pathlib import Path


def processor_model() -> str:
    """Return the model (proc(5), cpuinfo), or the machine's type."""
    text = Path("/proc/cpuinfo").read_text()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()
