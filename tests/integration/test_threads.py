"""The threads that an import leaves: real ones, started as libraries in C do."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from resqued.diagnostics import app_checks
from resqued.diagnostics.import_result import Import
from resqued.system import process
from tests.support.forking import run_in_child


def test_threads_that_python_has_not_started_are_named(tmp_path: Path) -> None:
    def start() -> None:
        """Start a thread as a library in C does."""
        libc = ctypes.CDLL(None)
        pause = ctypes.cast(libc.pause, ctypes.c_void_p)
        made = libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, pause, None)
        assert made == 0

    def main() -> None:
        assert process.threads() == []
        start()
        assert process.threads() == ["(not Python's)"]
        tasks = Path("/proc/self/task").iterdir()
        (task,) = (task for task in tasks if task.name != str(os.getpid()))
        (task / "comm").write_text("grpc")
        assert process.threads() == ["grpc (not Python's)"]
        library = tmp_path / "libopenblas64_.so"
        library.write_bytes(bytes(mmap.PAGESIZE))
        with library.open("r+b") as file:
            kept = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        start()
        assert sorted(process.threads()) == ["(OpenBLAS)", "grpc (not Python's)"]
        kept.close()

    run_in_child(main)


def test_doctor_says_that_threads_of_openblas_are_harmless() -> None:
    (found,) = [
        finding
        for finding in app_checks.judge(Import((), threads=(process.OPENBLAS,)))
        if finding.check == "threads"
    ]
    assert "OPENBLAS_NUM_THREADS=1" in found.remedy
