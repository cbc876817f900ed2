"""The hooks of a worker, each time in a process of their own.

Runs in the worker, which runs no code of the application: hooks run in a short-lived
process that the worker forks and waits for. So no hook can stop, change or kill the
worker. A process that exceeds the limit is killed with its group.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from signal import SIGKILL

from resqued.child import ChildContext
from resqued.execution.reporter import WorkerReporter
from resqued.hooks import failed_job, performing
from resqued.hooks.job_hooks import Hook, Hooks, hooks_of, registered
from resqued.hooks.job_info import JobInfo, running_inline
from resqued.ipc.scoreboard import Phase
from resqued.jobs.lookup import resolve
from resqued.jobs.retrying import with_exhausted
from resqued.log import capture, flushing
from resqued.retries.policy import Retry
from resqued.system import prctl, process, process_title, signals
from resqued.system.signals import SignalInbox
from resqued.wire import json_scan, payload, titles
from resqued.wire.payload import FailureInfo, Reservation

_DONE = b"."
# Of what a process of hooks answers, in bytes.
_LONGEST_ANSWER = 64


class HookRunner:
    """Runs the hooks of one worker.

    `foreign` returns the descriptors of the worker that a process of hooks closes.
    """

    def __init__(
        self,
        context: ChildContext,
        inbox: SignalInbox,
        reporter: WorkerReporter,
        foreign: Callable[[], Sequence[int]],
    ) -> None:
        self._context = context
        self._inbox = inbox
        self._reporter, self._log = reporter, reporter.log
        self._foreign = foreign
        self._limit = context.settings.timings.hook_limit
        self._is_shut_down = False

    def run(self, kind: str, *args: object) -> None:
        """Run the hooks of a kind, if there are any, and wait until they are over."""
        if hooks := registered(kind):
            self._run(kind, lambda: _run_each(hooks, args))

    def pause(self, *, was_paused: bool) -> None:
        """Run those that are due before the worker pauses."""
        if not was_paused:
            self.run("before_pause", self._context.worker)

    def resume(self, *, was_paused: bool) -> None:
        """Run those that are due after the worker has resumed."""
        if was_paused:
            self.run("after_pause", self._context.worker)

    def shut_down(self) -> None:
        """Run those that are due when the worker is ordered to stop; only once."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self.run("shutdown")

    def run_on_failure(
        self,
        held: Reservation,
        fault: FailureInfo,
        exhausted: Retry | None = None,
        *,
        attempt: int = 1,
    ) -> None:
        """Run the on_failure hooks of a job whose child has died.

        `exhausted` is its retry, if no attempt follows this one, number `attempt`.
        """
        try:
            job = payload.decode_job(held.payload)
            hooks = with_exhausted(self._hooks_of(job.class_name), exhausted)
        except ValueError:
            return  # no job, so it has no hooks
        if hooks is None or "on_failure" not in hooks:
            return
        error = failed_job.error_of(fault)
        worker = self._context.worker
        about = JobInfo(held.queue, job.class_name, tuple(job.args), attempt, worker)

        def run() -> None:
            with running_inline(about):
                performing.run_on_failure(hooks, about, error, failed_job.report)

        self._run("on_failure", run)

    def next_delay(self, policy: Retry, attempt: int, age: float) -> float | None:
        """Return the delay of the next attempt, by the function of the application.

        None if there is none, or if the function fails.
        """

        def ask() -> bytes:
            delay = policy.next_delay(attempt, age)
            return b"" if delay is None else repr(delay).encode()

        answer = self._run("on_failure", ask)
        return float(answer) if answer else None

    def has_on_failure(self, held: Reservation) -> bool:
        """Return True if a job has on_failure hooks, which run in its child."""
        name = json_scan.class_name(held.payload)
        return bool(name) and "on_failure" in (self._hooks_of(name) or ())

    def _hooks_of(self, class_name: str) -> Hooks | None:
        try:
            return resolve(class_name, self._context.settings.modules)[2]
        except Exception:  # it is no job of this application, or its class raises
            return hooks_of(None)

    def _run(self, kind: str, hooks: Callable[[], bytes | None]) -> bytes:
        """Run hooks; return what they answer, b"" if they fail or answer nothing."""
        # The master gives this step of the worker its time from now on.
        if kind == "on_failure":
            self._reporter.phase(Phase.SETTLING)
        elif not self._reporter.shows_job:
            self._reporter.progress()
        read, write = os.pipe()
        try:
            pid = process.fork_child(self._live, kind, hooks, read, write)
        except OSError as error:
            self._log.error("hook_failed", hook=kind, error=f"fork: {error}")
            os.close(read)
            return b""
        finally:
            os.close(write)
        poll = select.poll()
        poll.register(read, select.POLLIN)
        is_late = not poll.poll(self._limit * 1000)
        problem = f"ran for longer than {self._limit:g} s" if is_late else "died"
        answer = b"" if is_late else os.read(read, _LONGEST_ANSWER)
        if not answer.startswith(_DONE):
            self._log.error("hook_failed", hook=kind, error=f"its process {problem}")
        # The loop of the worker reaps it, as it does other processes.
        process.send_group(pid, SIGKILL)
        os.close(read)
        return answer[len(_DONE) :]

    def _live(
        self, kind: str, hooks: Callable[[], bytes | None], read: int, write: int
    ) -> int:
        """Run hooks. Runs in their process, with signals blocked at first."""
        prctl.die_with_parent(self._context.parent)
        self._inbox.react(None)
        for fd in (read, *self._foreign()):
            os.close(fd)
        process_title.set_title(titles.hook(kind))
        capture.set_context(self._about, kind)
        signals.unblock()
        answer = hooks() or b""
        flushing.flush()
        os.write(write, _DONE + answer)
        return 0

    def _about(self, kind: str) -> dict[str, object]:
        return {
            "role": "worker",
            "pid": os.getpid(),
            "worker": self._context.worker,
            "generation": self._context.settings.generation,
            "hook": kind,
        }


def _run_each(hooks: Sequence[Hook], args: Sequence[object]) -> None:
    for hook in hooks:
        try:
            hook.checked(hook.call(*args))
        except BaseException as error:
            failed_job.report(hook, error)
