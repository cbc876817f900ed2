"""Jobs that are tried again, while children, workers and masters are killed.

A job has five attempts at most, whatever dies, and ends in exactly one of performed and
failed. It may be performed twice: its process may die just after. A job that goes back
to the head of its queue is performed at least once, and never fails. None is set aside:
the jobs do not cause the deaths.
"""

from __future__ import annotations

from dataclasses import replace

from bench.chaos import deaths
from bench.chaos.account import Books
from bench.chaos.site import BACKLOG, PATIENCE, Site
from tests.support.pool import failures
from tests.support.wait import wait_until

ATTEMPTS = 5
# In seconds: short, so that jobs fail often.
LENGTHS = (0.0, 0.05, 0.1, 0.3)
NO_QUARANTINE = "[retry]\nquarantine_after = 0\n"


class RetrySite(Site):
    """A site whose jobs fail some times, some of them each time."""

    def feed(self) -> None:
        """Enqueue jobs if too few wait."""
        waiting = int(self.redis.llen(self.queue))
        if waiting < BACKLOG:
            numbers = self.take_numbers(BACKLOG)
            self.enqueue(map(self.make, numbers))

    def make(self, number: int) -> tuple[str, int, float] | tuple[str, int, int, float]:
        """Return a job: class and arguments."""
        good = self.random.randint(1, ATTEMPTS + 1)
        return "Again", number, good, self.random.choice(LENGTHS)

    def finish(self) -> Books:
        """Let all jobs come to their end first: none waits for an attempt then."""

        def are_over() -> bool:
            ended = set(map(int, self.witness.hkeys("ended")))
            found = failures(self.redis, self.namespace)
            failed = {entry["payload"]["args"][0] for entry in found}
            waits = self.redis.exists(
                self.queue, self.key("delayed_queue_schedule")
            ) or list(self.redis.scan_iter(self.key("worker:*:default")))
            return len(ended | failed) == self.numbers and not waits

        wait_until(are_over, deadline=2 * PATIENCE, what="all jobs to be over")
        return super().finish()

    def judge(self, books: Books) -> list[str]:
        """Return a text for each job that was attempted too often."""
        return [
            f"job {n} was attempted {k} times"
            for n, k in books.started.items()
            if k > ATTEMPTS
        ]

    def _books(self) -> Books:
        books = super()._books()
        self.problems += self.judge(books)
        # Each attempt counts: the account of single runs has to leave that out.
        begun = dict.fromkeys(books.started, 1)
        runs = len(begun.keys() | books.failed.keys())
        return replace(books, started=begun, processed=runs, failures=books.entries)


class RequeueSite(RetrySite):
    """A site whose jobs go back to the head of their queue until they are performed."""

    def make(self, number: int) -> tuple[str, int, float]:
        """Return a job: class and arguments."""
        return "Requeue", number, self.random.choice(LENGTHS)

    def judge(self, books: Books) -> list[str]:
        """Return a text for each job that was not performed, or that has failed."""
        missing = set(range(self.numbers)) - books.ended.keys()
        problems = [f"job {n} was not performed" for n in sorted(missing)]
        entries = failures(self.redis, self.namespace)
        causes = {entry["payload"]["args"][0]: entry["error"] for entry in entries}
        return problems + [
            f"job {n} has failed: {causes.get(n)}" for n in sorted(books.failed)
        ]


def kill_anything(site: Site) -> None:
    """Kill a child, a worker, the master, or two of them, at a random moment."""
    strike = site.random.choice(
        (
            *(deaths.kill_child, deaths.kill_worker, deaths.kill_zygote),
            *(deaths.kill_master, deaths.kill_worker_and_master),
        )
    )
    strike(site)
