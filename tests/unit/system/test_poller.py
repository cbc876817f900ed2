"""A callback says whether what it has read concerns only its own part."""

import os

from resqued.system.poller import Poller


def test_a_wait_goes_on_only_if_every_callback_keeps_its_news_to_itself() -> None:
    poller = Poller()
    pipes = [os.pipe(), os.pipe()]
    own, shared = (reading for reading, _ in pipes)
    poller.register(own, lambda _: True)
    poller.register(shared, lambda _: None)
    try:
        os.write(pipes[0][1], b".")
        assert poller.call(poller.wait(1000), 0.0)
        os.write(pipes[1][1], b".")
        ready = poller.wait(1000)
        assert sorted(ready) == sorted((own, shared))
        assert not poller.call(ready, 0.0)
        assert not poller.call(ready[::-1], 0.0)
        poller.unregister(shared)
        assert poller.call(ready, 0.0)
        # Nothing has happened to anybody.
        assert poller.call([], 0.0)
    finally:
        for fd in (fd for pair in pipes for fd in pair):
            os.close(fd)
