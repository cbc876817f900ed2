"""The current generation, the pending one, and the previous one for a rollback.

Runs in the master. A new generation becomes the current one only when its zygote
reports that the application is imported; until then, and if the import fails, the
old generation serves. The last generation that has proven itself is kept until
every slot has moved. core.generation_lifecycle decides what each event means.
"""

from __future__ import annotations

import random
from signal import SIGKILL
from typing import assert_never

from resqued.config.loader import Config
from resqued.core import generation_lifecycle
from resqued.core.exit_status import Exit
from resqued.core.generation_lifecycle import (
    GenerationEvent,
    GenerationState,
    OnFailure,
    OnPromotion,
    is_zygote_hopeless,
    on_failure,
    on_promotion,
    start_failures_allowed,
)
from resqued.core.timings import NEVER
from resqued.errors import ConfigError, ResquedError, StartError
from resqued.ipc.channel import ChannelClosed
from resqued.ipc.messages import AppImported, DeclaredJobs, ImportFailed
from resqued.log.logger import Logger
from resqued.master.generation import Generation
from resqued.master.handoff import PoolRecord
from resqued.master.reload_outcomes import ReloadOutcomes
from resqued.system import process
from resqued.system.poller import Poller


def _late(generation: Generation) -> str:
    limit = generation.config.start_timeout
    return f"the application was not imported within {limit:g} s"


class GenerationManager:
    """The generations of one master."""

    def __init__(
        self, config: Config, directory: str, poller: Poller, log: Logger
    ) -> None:
        self._directory = directory
        self._poller = poller
        self._log = log
        self.state = GenerationState.BOOTING
        # The number of the newest generation, even if it was refused.
        self.last = 1
        self.current = Generation(config, 1, directory)
        self.pending: Generation | None = None
        self.previous: Generation | None = None
        self.outcomes = ReloadOutcomes(log)
        self.failure: Exception | None = None
        # Whether a worker of the current generation was ever ready.
        self.is_proven = False
        # Since when its workers have run without a start failure.
        self.sound_since: float | None = None
        self._start_failures = 0

    def resume(self, record: PoolRecord) -> None:
        """Take over the generation of the older program of this master."""
        self.current = Generation.from_record(record.current)
        self._listen(self.current)
        self.last, self.state = record.last, record.state
        self.is_proven = record.state is GenerationState.SERVING

    @property
    def is_settled(self) -> bool:
        """Whether the current generation is the only one."""
        return self.pending is None and self.previous is None

    def all(self) -> list[Generation]:
        """Return the generations that have a zygote, or should have one."""
        every = (self.current, self.pending, self.previous)
        return [generation for generation in every if generation is not None]

    @property
    def is_moving(self) -> bool:
        """Whether slots are moving from one generation to another."""
        return self.previous is not None

    @property
    def is_on_trial(self) -> bool:
        """Whether the current generation has one worker only, which tries it out."""
        return self.state is GenerationState.TRIAL

    @property
    def incumbent(self) -> Generation:
        """The generation whose configuration applies and that fills vacant slots.

        During a trial this is the previous one, if its zygote is ready.
        """
        if self.is_on_trial and self.previous is not None and self.previous.is_ready:
            return self.previous
        return self.current

    def _change_state(self, event: GenerationEvent) -> None:
        self.state = generation_lifecycle.step(self.state, event)
        self.current.apply_log_levels()

    # A part of the master's loop

    def turn(self, now: float) -> None:
        """Start a missing zygote, and give up an import that exceeds its time limit."""
        current = self.current
        if current.pid is None and now >= current.backoff.ready_at:
            self._start_current(now)
        if self.pending is not None and self.pending.is_late(now):
            self.refuse(_late(self.pending))
        if current.is_late(now):
            if self.is_proven:
                self._log.error("zygote_failed", error=_late(current))
            else:
                self._give_up(StartError(_late(current)))
            self.on_zygote_exit(current, now, _late(current))

    def _start_current(self, now: float) -> None:
        current = self.current
        try:
            current.start(now)
        except ConfigError as error:
            self._fail_current(error, now)
        except StartError as error:
            self._log.error("zygote_failed", error=str(error))
            self.on_zygote_exit(current, now, str(error))
        else:
            self._listen(current)

    def _listen(self, generation: Generation) -> None:
        """Register the channel of a zygote with the poller."""
        channel = generation.channel
        if channel is not None:
            channel.before_close = self._poller.unregister
            number = generation.number
            self._poller.register(
                channel.fileno(), lambda now: self.hear_number(number, now)
            )

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        due = [
            generation.start_by
            for generation in (self.pending, self.current)
            if generation and generation.pid is not None and not generation.is_ready
        ]
        if self.current.pid is None:
            due.append(self.current.backoff.ready_at)
        return min(due, default=NEVER)

    # Reload

    def begin(self, config: Config, now: float) -> int:
        """Start a generation in place of a pending one; return its number."""
        if self.pending is not None:
            self._log.info("reload_replaced", generation=self.pending.number)
            self.pending.close()
        self.last += 1
        self.pending = Generation(config, self.last, self._directory)
        self._log.info("reload_started", generation=self.last)
        try:
            self.pending.start(now)
        except (ConfigError, StartError) as error:
            self.refuse(str(error))
        else:
            self._listen(self.pending)
        return self.last

    def refuse(self, error: str) -> None:
        """Give up the pending generation; the current one serves unchanged."""
        if self.pending is not None:
            self.pending.close()
            self.pending = None
        self.outcomes.add(self.last, error)

    def refuse_configuration(self, error: ResquedError) -> int:
        """Record a reload whose configuration is wrong; return its number."""
        self.last += 1
        self.refuse(str(error))
        return self.last

    def abandon(self) -> None:
        """Give up a reload that is in progress, because the master is about to stop."""
        if self.pending is not None:
            self.refuse("the master was ordered to stop")
        elif self.is_moving:
            self.outcomes.add(self.current.number, "the master was ordered to stop")

    def _promote(self) -> None:
        """Make the pending generation the current one; slots move to it from now on."""
        assert self.pending is not None, "it has just reported that it is ready"
        if on_promotion(self.state) is OnPromotion.CLOSED:
            self.current.close()
        else:
            if self.previous is not None:
                self.previous.close()
            self.previous = self.current
        self.current, self.pending = self.pending, None
        self._change_state(GenerationEvent.PROMOTED)
        self.is_proven = False
        self.sound_since = None
        self._start_failures = 0
        self._log.info("generation_ready", generation=self.current.number)

    def pass_trial(self) -> None:
        """End the trial with success: all slots may move to the new generation."""
        self._change_state(GenerationEvent.TRIAL_PASSED)

    def settle(self) -> None:
        """End the previous generation, when every slot has moved."""
        assert self.previous is not None, "there was something to move from"
        self.previous.close()
        self.previous = None
        self._change_state(GenerationEvent.ALL_MOVED)
        self.outcomes.add(self.current.number)

    def roll_back(self, reason: str) -> None:
        """Return to the previous generation; slots that have moved move back."""
        assert self.previous is not None, "there is something to go back to"
        failed, self.current, self.previous = self.current, self.previous, None
        failed.close()
        self._change_state(GenerationEvent.FAILURE)
        self.is_proven = True
        error = f"{reason}; rolled back to generation {self.current.number}"
        self.outcomes.add(failed.number, error)

    # Reports and exits of zygotes and workers

    def hear_number(self, number: int, now: float, how: Exit | None = None) -> None:
        """Read the reports of a generation's zygote, if the generation still exists.

        `how` is how the zygote ended, if it has been reaped.
        """
        for generation in self.all():
            if generation.number == number and generation.channel is not None:
                self._hear(generation, now, how)

    def _hear(self, generation: Generation, now: float, how: Exit | None) -> None:
        assert generation.channel is not None, "its descriptor was waited on"
        try:
            for report in generation.channel.messages():
                match report:
                    case DeclaredJobs(jobs):
                        generation.jobs.update(jobs)
                    case AppImported():
                        self._on_imported(generation, report)
                    case ImportFailed():
                        self._on_import_failed(generation, _import_error(report), now)
                        return
                    case _:
                        assert_never(report)
        except ChannelClosed as error:
            end = generation.describe_end(how or generation.peek_exit(), str(error))
            self.on_zygote_exit(generation, now, end)

    def _on_imported(self, generation: Generation, report: AppImported) -> None:
        generation.learn(report)
        if report.threads:
            self._log.warning("application_has_threads", threads=report.threads)
        if generation is self.pending:
            self._promote()
        elif generation is self.current and self.is_proven:
            self._log.info("zygote_restored", pid=generation.pid)

    def _on_import_failed(
        self, generation: Generation, error: ConfigError, now: float
    ) -> None:
        if generation is self.pending:
            self.refuse(str(error))
        elif generation is self.current:
            self._fail_current(error, now)

    def _fail_current(self, error: ConfigError, now: float) -> None:
        """Restart the current zygote, or give up, after its import has failed."""
        if on_failure(self.state) is not OnFailure.RESTART:
            self._give_up(error)
            return
        self._log.error("zygote_failed", error=str(error))
        self.on_zygote_exit(self.current, now, str(error))

    def on_zygote_exit(
        self, generation: Generation, now: float, how: Exit | str
    ) -> None:
        """Act on a zygote that has exited or, for the reason `how`, is given up."""
        end = how if isinstance(how, str) else generation.describe_end(how)
        if generation is self.current and self.failure is None:
            self._log.error("zygote_died", pid=generation.pid, error=end)
        generation.close()
        if generation is self.pending:
            self.refuse(end)
            return
        generation.backoff = generation.backoff.failed(now, random.random())
        failures = generation.backoff.failures
        is_hopeless = is_zygote_hopeless(failures, is_proven=self.is_proven)
        if generation is self.current and is_hopeless:
            self._give_up(StartError(f"{end} ({failures} times in a row)"))

    def worker_ready(self, generation: int, now: float) -> None:
        """Note that a worker is ready, which proves its generation."""
        if generation == self.current.number:
            self._change_state(GenerationEvent.WORKER_READY)
            self.is_proven = True
            self.sound_since = self.sound_since or now

    def worker_start_failed(self, generation: int, how: str) -> None:
        """Count a worker that died at start, before it was ready or just after."""
        if generation != self.current.number:
            return
        self.sound_since = None
        allowed = start_failures_allowed(self.state)
        if allowed == NEVER:
            return
        self._start_failures += 1
        if self._start_failures >= allowed:
            error = f"{allowed:g} workers in a row died at start, the last of {how}"
            self._give_up(StartError(error))

    def spawn_failed(self, generation: int) -> None:
        """Kill a zygote that does not fork any more, so that another is started."""
        for each in self.all():
            if each.number == generation and each.pid is not None:
                process.send(each.pid, SIGKILL)

    def _give_up(self, error: ResquedError) -> None:
        """Return to the previous generation, or stop the master if none exists."""
        if on_failure(self.state) is OnFailure.ROLL_BACK:
            self.roll_back(str(error))
            return
        self._change_state(GenerationEvent.FAILURE)
        self.failure = self.failure or error
        if isinstance(error, ConfigError):
            self.current.close()

    def close(self) -> None:
        """Kill every zygote."""
        for generation in self.all():
            generation.close()


def _import_error(report: ImportFailed) -> ConfigError:
    """Return the error of an import; `resqued --debug` prints the stack below it."""
    error = ConfigError(report.error)
    if report.stack:
        error.add_note(report.stack)
    return error
