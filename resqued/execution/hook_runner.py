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
from resqued.log import capture, flushing
from resqued.system import prctl, process, process_title, signals
from resqued.system.signals import SignalInbox
from resqued.wire import payload, titles
from resqued.wire.payload import FailureInfo, Reservation

_DONE = b"."


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

    def run_on_failure(self, held: Reservation, fault: FailureInfo) -> None:
        """Run the on_failure hooks of a job whose child has died."""
        try:
            job = payload.decode_job(held.payload)
            hooks = self._hooks_of(job.class_name)
        except ValueError:
            return  # no job, so it has no hooks
        if hooks is None or "on_failure" not in hooks:
            return
        error = failed_job.error_of(fault)
        worker = self._context.worker
        about = JobInfo(held.queue, job.class_name, tuple(job.args), worker=worker)

        def run() -> None:
            with running_inline(about):
                performing.run_on_failure(hooks, about, error, failed_job.report)

        self._run("on_failure", run)

    def _hooks_of(self, class_name: str) -> Hooks | None:
        try:
            return resolve(class_name, self._context.settings.modules)[2]
        except ValueError:  # it is no job of this application
            return hooks_of(None)

    def _run(self, kind: str, hooks: Callable[[], None]) -> None:
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
            return
        finally:
            os.close(write)
        poll = select.poll()
        poll.register(read, select.POLLIN)
        is_late = not poll.poll(self._limit * 1000)
        problem = f"ran for longer than {self._limit:g} s" if is_late else "died"
        if is_late or os.read(read, 1) != _DONE:
            self._log.error("hook_failed", hook=kind, error=f"its process {problem}")
        # The loop of the worker reaps it, as it does other processes.
        process.send_group(pid, SIGKILL)
        os.close(read)

    def _live(self, kind: str, hooks: Callable[[], None], read: int, write: int) -> int:
        """Run hooks. Runs in their process, with signals blocked at first."""
        prctl.die_with_parent(self._context.parent)
        self._inbox.react(None)
        for fd in (read, *self._foreign()):
            os.close(fd)
        process_title.set_title(titles.hook(kind))
        capture.set_context(self._about, kind)
        signals.unblock()
        hooks()
        flushing.flush()
        os.write(write, _DONE)
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
            hook.call(*args)
        except BaseException as error:
            failed_job.report(hook, error)
