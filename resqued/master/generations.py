"""Which generation is on, which one is coming, and which one can be gone back to.

Runs in the master. A new generation takes over only when its zygote says that the
application is imported; until then, and if that fails, the old one goes on. The
last one that has proven itself is kept until every slot has moved.
"""

from __future__ import annotations

import random
from signal import SIGKILL
from typing import NamedTuple

from resqued.config.loader import Config
from resqued.errors import ConfigError, ResquedError, StartError
from resqued.ipc.channel import ChannelClosed
from resqued.log.logger import Logger
from resqued.master.generation import Generation
from resqued.system import process

# So many deaths in a row without one worker that ever got ready are no accident.
MAX_START_FAILURES = 5
# With the old generation to go back to, the new one is given up sooner.
MAX_CANARY_DEATHS = 3


class Result(NamedTuple):
    """What a reload came to: an empty error is success."""

    generation: int
    error: str = ""


def _late(generation: Generation) -> str:
    limit = generation.config.start_timeout
    return f"the application was not imported within {limit:g} s"


class GenerationManager:
    """The generations of one master."""

    def __init__(self, config: Config, directory: str, log: Logger) -> None:
        self._directory = directory
        self._log = log
        self._last = 1
        self.current = Generation(config, 1, directory)
        self.pending: Generation | None = None
        self.previous: Generation | None = None
        self.result: Result | None = None
        self.failure: Exception | None = None
        # Whether a worker of the current generation ever got ready.
        self.is_proven = False
        # Whether the current generation has but one worker until that has done well,
        # and since when its workers have been there without a death at start.
        self.is_on_trial = False
        self.sound_since: float | None = None
        self._deaths = 0

    def resume(self, current: Generation, *, last: int, is_proven: bool) -> None:
        """Go on with a generation that another program of this master began."""
        self.current, self._last, self.is_proven = current, last, is_proven

    @property
    def is_settled(self) -> bool:
        """Whether no generation is coming or going."""
        return self.pending is None and self.previous is None

    def all(self) -> list[Generation]:
        """Return those that have a zygote, or should have one."""
        every = (self.current, self.pending, self.previous)
        return [generation for generation in every if generation is not None]

    @property
    def is_rolling(self) -> bool:
        """Whether slots are on their way from one generation to another."""
        return self.previous is not None

    @property
    def incumbent(self) -> Generation:
        """The generation whose configuration holds and that fills vacant slots.

        A new one that is on trial has a single worker, and nothing else yet.
        """
        on_duty = self.previous
        if self.is_on_trial and on_duty is not None and on_duty.is_ready:
            return on_duty
        return self.current

    @property
    def last(self) -> int:
        """The number of the newest generation, whatever became of it."""
        return self._last

    def turn(self, now: float) -> None:
        """See that there is a zygote, and that a new one does not take for ever."""
        current = self.current
        if current.pid is None and now >= current.backoff.ready_at:
            try:
                current.start(now)
            except ConfigError as error:
                self._fail_current(error, now)
            except StartError as error:
                self._log.error("zygote_failed", error=str(error))
                self.lost(current, now)
        if self.pending is not None and self._is_late(self.pending, now):
            self.refuse(_late(self.pending))
        if self._is_late(self.current, now):
            if self.is_proven:
                self._log.error("zygote_failed", error=_late(current))
            else:
                self._give_up(_late(current))
            self.lost(current, now)

    def _is_late(self, generation: Generation, now: float) -> bool:
        is_starting = generation.pid is not None and not generation.is_ready
        return is_starting and now >= self._start_by(generation)

    def _start_by(self, generation: Generation) -> float:
        return generation.started_at + generation.config.start_timeout

    def deadline(self) -> float | None:
        """Return when turn has something to do."""
        due = [
            self._start_by(generation)
            for generation in (self.pending, self.current)
            if generation and generation.pid is not None and not generation.is_ready
        ]
        if self.current.pid is None:
            due.append(self.current.backoff.ready_at)
        return min(due, default=None)

    # Reload

    def begin(self, config: Config, now: float) -> int:
        """Start a new generation, in place of one that is still starting."""
        if self.pending is not None:
            self._log.info("reload_replaced", generation=self.pending.number)
            self.pending.close()
        self._last += 1
        self.pending = Generation(config, self._last, self._directory)
        self._log.info("reload_started", generation=self._last)
        try:
            self.pending.start(now)
        except (ConfigError, StartError) as error:
            self.refuse(str(error))
        return self._last

    def refuse(self, error: str) -> None:
        """Give up the generation that is coming; the old one goes on untouched."""
        if self.pending is not None:
            self.pending.close()
            self.pending = None
        self._finish(Result(self._last, error))

    def refuse_configuration(self, error: ResquedError) -> int:
        """Note a reload that failed before there was a generation to start."""
        self._last += 1
        self.refuse(str(error))
        return self._last

    def abandon(self) -> None:
        """The master is about to stop: what is under way comes to nothing."""
        if self.pending is not None:
            self.refuse("the master was told to stop")
        elif self.is_rolling:
            number = self.current.number
            self._finish(Result(number, "the master was told to stop"))

    def _finish(self, result: Result) -> None:
        # Not so an older one that has come to its end after the last was refused.
        if self.result is None or result.generation >= self.result.generation:
            self.result = result
        if result.error:
            self._log.error(
                "reload_failed", generation=result.generation, error=result.error
            )
        else:
            self._log.info("reload_done", generation=result.generation)

    def _promote(self) -> None:
        """The new generation takes over: slots move to it from now on."""
        assert self.pending is not None, "it has just said that it is ready"
        if self.is_on_trial:
            self.current.close()  # overtaken before it had proven itself
        else:
            if self.previous is not None:
                self.previous.close()
            self.previous = self.current
        self.current, self.pending = self.pending, None
        self.is_proven, self.is_on_trial = False, True
        self.sound_since = None
        self._deaths = 0
        self._log.info("generation_ready", generation=self.current.number)

    def pass_trial(self) -> None:
        """The new generation may have all of the slots."""
        self.is_on_trial = False

    def settle(self) -> None:
        """Every slot has moved: there is no way back any more, and no need of it."""
        assert self.previous is not None, "there was something to move from"
        self.previous.close()
        self.previous = None
        self._finish(Result(self.current.number))

    def roll_back(self, reason: str) -> None:
        """Go back to the generation before: slots that have moved move back."""
        assert self.previous is not None, "there is something to go back to"
        failed, self.current = self.current, self.previous
        self.previous = None
        failed.close()
        self.is_proven, self.is_on_trial = True, False
        self._finish(
            Result(
                failed.number,
                f"{reason}; rolled back to generation {self.current.number}",
            )
        )

    # What zygotes and workers do

    def hear(self, generation: Generation, now: float) -> None:
        """Take in what a zygote says."""
        assert generation.channel is not None, "its descriptor was waited on"
        try:
            for kind, *values in generation.channel.messages():
                if kind == "ready":
                    self._ready(generation, *values)
                elif kind == "failed":
                    self._failed(generation, ConfigError(values[0]), now)
                    break
        except ChannelClosed:
            self.lost(generation, now)

    def _ready(self, generation: Generation, threads: list[str], memory: int) -> None:
        generation.is_ready = True
        generation.threads, generation.least_memory = threads, memory
        generation.backoff = generation.backoff.succeeded()
        if threads:
            self._log.warning("application_has_threads", threads=threads)
        if generation is self.pending:
            self._promote()
        elif generation is self.current and self.is_proven:
            self._log.info("zygote_restored", pid=generation.pid)

    def _failed(self, generation: Generation, error: ConfigError, now: float) -> None:
        if generation is self.pending:
            self.refuse(str(error))
        elif generation is self.current:
            self._fail_current(error, now)

    def _fail_current(self, error: ConfigError, now: float) -> None:
        """The zygote was to be made anew, but what it is made of was changed."""
        if self.is_rolling:
            self.roll_back(str(error))
        elif self.is_proven:
            self._log.error("zygote_failed", error=str(error))
            self.lost(self.current, now)
        else:
            self.failure = self.failure or error
            self.current.close()

    def lost(self, generation: Generation, now: float) -> None:
        """A zygote died. Its workers live on; without it no new ones can be made."""
        was_heard = generation is self.current and self.failure is None
        if was_heard:
            self._log.error("zygote_died", pid=generation.pid)
        generation.close()
        if generation is self.pending:
            self.refuse("the zygote died while it imported the application")
            return
        generation.backoff = generation.backoff.failed(now, random.random())
        is_hopeless = generation.backoff.failures >= MAX_START_FAILURES
        if generation is self.current and not self.is_proven and is_hopeless:
            self._give_up("the zygote dies whenever it is started")

    def worker_ready(self, generation: int, now: float) -> None:
        """A worker got ready: its generation is good for something."""
        if generation == self.current.number:
            self.is_proven = True
            self.sound_since = self.sound_since or now

    def worker_start_failed(self, generation: int, how: str) -> None:
        """A worker died of its start, before it was ready or just after."""
        if generation != self.current.number:
            return
        self.sound_since = None
        if self.is_proven and not self.is_rolling:
            return
        self._deaths += 1
        most = MAX_CANARY_DEATHS if self.is_rolling else MAX_START_FAILURES
        if self._deaths >= most:
            self._give_up(f"{most} workers in a row died at start, the last of {how}")

    def spawn_failed(self, generation: int) -> None:
        """A zygote forks no more: its end is that another is made."""
        for each in self.all():
            if each.number == generation and each.pid is not None:
                process.send(each.pid, SIGKILL)

    def _give_up(self, error: str) -> None:
        if self.is_rolling:
            self.roll_back(error)
        else:
            self.failure = self.failure or StartError(error)

    def close(self) -> None:
        """End every zygote."""
        for generation in self.all():
            generation.close()
