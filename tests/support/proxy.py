"""A network that fails on command: a TCP proxy on loopback in front of a server.

The proxy is a process of its own, so that a test may fork, and stop a server,
without threads in the way. `Proxy` is the test's handle; the rest of the file runs
in that process, which is this file run as a script: commands come in on its
standard input, one JSON object per line, and each is answered with the counts.

A connection that has lost bytes never gets any more, for TCP does not resume
behind a gap; `forward` cuts it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

HOST = "127.0.0.1"
CHUNK = 1 << 16


class Counts(NamedTuple):
    """What went through a proxy: connections ever, connections now, replies lost."""

    accepted: int
    open: int
    lost: int


class Proxy:
    """A proxy in front of the port of a server on this machine."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            # -P: the folder of this file holds no modules for the script.
            [sys.executable, "-P", __file__, str(self.target_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = self._answer()["port"]
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        assert process
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        if process.returncode != 0:
            raise AssertionError(f"the proxy ended with status {process.returncode}")

    def forward(self) -> Counts:
        """Be a good network again; connections that have lost something are cut."""
        return self._do("forward")

    def swallow_replies(
        self,
        count: int | None = None,
        *,
        of: str | None = None,
        existing_only: bool = False,
    ) -> Counts:
        """Lose what the server answers, for good or for the next *count* replies.

        Only replies on connections that send the text *of* from now on, where it
        is given, and on those open now, with *existing_only*. What a server says
        unasked (RESP3 pushes) counts as no reply, but is lost behind a lost one.
        """
        return self._do("swallow", count=count, of=of, existing_only=existing_only)

    def black_hole(self) -> Counts:
        """Lose everything, both ways; connecting still works, to nowhere."""
        return self._do("black_hole")

    def hold(self) -> Counts:
        """Keep everything back, both ways, and deliver it late, at `forward`."""
        return self._do("hold")

    def refuse(self) -> Counts:
        """Refuse new connections; those that are open continue."""
        return self._do("refuse")

    def hang_up(self, count: int) -> Counts:
        """Close the next *count* connections when they send something."""
        return self._do("hang_up", count=count)

    def cut(self) -> Counts:
        """Close every connection; new ones are welcome."""
        return self._do("cut")

    def counts(self) -> Counts:
        """Tell what went through up to now."""
        return self._do("count")

    def _do(self, command: str, **options: Any) -> Counts:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
        self._process.stdin.flush()
        return Counts(**self._answer())

    def _answer(self) -> dict[str, int]:
        assert self._process
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError("the proxy has died")
        answer: dict[str, int] = json.loads(line)
        return answer


@dataclass(eq=False)
class Connection:
    """One client, and its connection to the server if it got one."""

    number: int
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    has_asked: bool = False
    has_lost: bool = False

    def abort(self) -> None:
        self.client.transport.abort()
        if self.server:
            self.server.transport.abort()


@dataclass
class Loss:
    """Which replies are to be lost."""

    count: int | None
    of: bytes
    newest: int | None

    def concerns(self, connection: Connection) -> bool:
        return (not self.of or connection.has_asked) and (
            self.newest is None or connection.number <= self.newest
        )


class Network:
    """The proxy's own side: everything between the two ports."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._lost = 0
        self._loss: Loss | None = None
        self._is_black_hole = False
        self._hang_ups = 0
        self._is_flowing = asyncio.Event()
        self._is_flowing.set()
        self._listener: asyncio.Server | None = None
        # Bound, but not listening: keeps the port ours while it is refused.
        self._holder = bound_socket(0)
        self.port: int = self._holder.getsockname()[1]

    async def listen(self) -> None:
        if self._listener is None:
            listening = bound_socket(self.port)
            self._listener = await asyncio.start_server(
                self._serve, sock=listening, backlog=1024
            )

    def refuse(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None

    def hang_up(self, count: int) -> None:
        self._hang_ups = count

    def cut(self) -> None:
        for connection in self._connections:
            connection.abort()

    async def forward(self) -> None:
        self._loss = None
        self._is_black_hole = False
        for connection in self._connections:
            if connection.has_lost:
                connection.abort()
        self._is_flowing.set()
        await self.listen()

    def swallow(self, count: int | None, of: str | None, existing_only: bool) -> None:
        for connection in self._connections:
            connection.has_asked = False
        newest = self._accepted if existing_only else None
        self._loss = Loss(count, (of or "").encode(), newest)

    def black_hole(self) -> None:
        self._is_black_hole = True

    def hold(self) -> None:
        self._is_flowing.clear()

    def counts(self) -> dict[str, int]:
        return Counts(self._accepted, len(self._connections), self._lost)._asdict()

    def close(self) -> None:
        self.refuse()
        self.cut()
        self._is_flowing.set()
        self._holder.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._accepted += 1
        connection = Connection(self._accepted, writer)
        self._connections.add(connection)
        # A connection that breaks is what a proxy for tests is about.
        with suppress(OSError):
            await self._is_flowing.wait()
            if self._is_black_hole:
                connection.has_lost = True
                while await reader.read(CHUNK):
                    pass
            elif self._hang_ups:
                self._hang_ups -= 1
                await reader.read(CHUNK)
            else:
                answers, connection.server = await asyncio.open_connection(
                    HOST, self._target_port
                )
                await asyncio.gather(
                    self._ask(connection, reader), self._reply(connection, answers)
                )
        connection.abort()
        self._connections.discard(connection)

    async def _ask(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        server = connection.server
        assert server
        try:
            while chunk := await reader.read(CHUNK):
                await self._is_flowing.wait()
                if self._is_black_hole:
                    connection.has_lost = True
                    continue
                if self._loss and self._loss.of in chunk:
                    connection.has_asked = True
                server.write(chunk)
                await server.drain()
            if not self._swallows_end(connection):
                server.write_eof()
        except OSError:
            # The other direction waits for the server, which has gone as well.
            connection.abort()

    async def _reply(
        self, connection: Connection, reader: asyncio.StreamReader
    ) -> None:
        held = bytearray()
        try:
            while chunk := await reader.read(CHUNK):
                await self._is_flowing.wait()
                if self._is_black_hole:
                    connection.has_lost = True
                if connection.has_lost:
                    continue
                held += chunk
                self._pass_on(connection, held)
                await connection.client.drain()
            if not self._swallows_end(connection):
                connection.client.write_eof()
        except OSError:
            connection.abort()

    def _swallows_end(self, connection: Connection) -> bool:
        connection.has_lost |= self._is_black_hole
        return self._is_black_hole

    def _pass_on(self, connection: Connection, held: bytearray) -> None:
        while end := frame_end(held):
            is_push = held.startswith(b">")
            if not is_push and self._loss and self._loss.concerns(connection):
                connection.has_lost = True
                self._count_loss(self._loss)
                return
            connection.client.write(bytes(held[:end]))
            del held[:end]

    def _count_loss(self, loss: Loss) -> None:
        self._lost += 1
        if loss.count is not None:
            loss.count -= 1
            if loss.count == 0:
                self._loss = None


def bound_socket(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound


def frame_end(data: bytearray) -> int:
    """Return where the first RESP value in data ends; 0 if it is not yet whole.

    What is not RESP, such as TLS, is taken as it comes.
    """
    at, wanted = 0, 1
    while wanted:
        kind = data[at : at + 1]
        if kind and kind not in b"+-:_#,($!=*~>%|":
            return len(data)
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return 0
        size = max(0, int(data[at + 1 : line_end])) if kind in b"*~>%|" else 0
        wanted += {b"%": 2 * size, b"|": 2 * size + 1}.get(bytes(kind), size) - 1
        if kind in b"$!=" and data[at + 1 : line_end] != b"-1":
            line_end += int(data[at + 1 : line_end]) + 2
        at = line_end + 2
    return at if at <= len(data) else 0


async def let_things_happen() -> None:
    # asyncio takes a handful of turns from a connection to its first bytes.
    for _ in range(20):
        await asyncio.sleep(0)


async def obey(network: Network, command: dict[str, Any]) -> None:
    match command.pop("do"):
        case "forward":
            await network.forward()
        case "swallow":
            network.swallow(**command)
        case "black_hole":
            network.black_hole()
        case "hold":
            network.hold()
        case "refuse":
            network.refuse()
        case "hang_up":
            network.hang_up(**command)
        case "cut":
            network.cut()


async def main(target_port: int) -> None:
    network = Network(target_port)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    stdin, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    await network.listen()
    print(json.dumps({"port": network.port}), flush=True)
    # The pipe ends when the test leaves the proxy, or dies.
    while line := await commands.readline():
        # What was sent before the command still meets the network as it was, and
        # what the command ended is gone when the counts are told.
        await let_things_happen()
        await obey(network, json.loads(line))
        await let_things_happen()
        print(json.dumps(network.counts()), flush=True)
    stdin.close()
    network.close()
    await let_things_happen()


if __name__ == "__main__":
    # Two descriptors for each connection.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(int(sys.argv[1])))
