"""Instance methods: `resqued.later(account).send_invoice(42)`.

The payload has the id of the account; the worker finds the account by it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import resqued
from myapp import DATA


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """Open the database: in each job, because processes must not share connections."""
    DATA.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(DATA / "accounts.db")) as opened, opened:
        opened.execute("CREATE TABLE IF NOT EXISTS accounts (address TEXT)")
        yield opened


@resqued.allow_later(methods=("send_invoice",), queue="mail")
@dataclass
class Account:
    """A customer; `id` and `find` are what `later` needs."""

    id: int
    address: str

    @classmethod
    def create(cls, address: str) -> Account:
        """Store a new account."""
        with database() as opened:
            row = opened.execute("INSERT INTO accounts VALUES (?)", (address,))
        return cls(row.lastrowid or 0, address)

    @classmethod
    def find(cls, number: int) -> Account | None:
        """Return the account with this id; None if there is none."""
        query = "SELECT rowid, address FROM accounts WHERE rowid = ?"
        with database() as opened:
            row = opened.execute(query, (number,)).fetchone()
        return row and cls(*row)

    def send_invoice(self, number: int) -> None:
        """Write the invoice that a real application would mail."""
        (DATA / f"invoice-{number}.txt").write_text(f"to {self.address}\n")

    def delete(self) -> None:
        """Remove the account; no job can call this, because it is not listed above."""
        with database() as opened:
            opened.execute("DELETE FROM accounts WHERE rowid = ?", (self.id,))
