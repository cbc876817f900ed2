"""Many threads in one process, while the server is killed and comes back."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import redis as redis_py

from tests.support.every_key import fill
from tests.support.pages import SAME_ORIGIN, Open
from tests.support.proxy import Proxy
from tests.support.route_samples import API, paths_of, routes
from tests.support.wait import wait_until

THREADS, ROUNDS = 50, 6
TEXT = b"critical"


def test_fifty_threads_while_the_server_goes_and_comes(
    open_pages: Open, redis: redis_py.Redis, redis_url: str
) -> None:
    fill(redis, TEXT)
    redis.delete("resque:queue:low")
    paths = [next(paths_of(route, redis, TEXT)) for route in routes("GET")]
    with Proxy(urlsplit(redis_url).port or 0) as proxy:
        pages = open_pages(url=proxy.url)
        pages.get("/overview")
        app = pages.client.application
        barrier = threading.Barrier(THREADS + 1)

        def ask(number: int) -> Counter[str]:
            client, found = app.test_client(), Counter[str]()
            for turn in range(ROUNDS):
                barrier.wait(60)
                path = paths[(number * ROUNDS + turn) % len(paths)]
                answer = client.get(path)
                found[f"{answer.status_code} {path}"] += 1
                body = {"queue": "low", "class": "Archive", "args": [number, turn]}
                order = client.post(
                    f"{API}/jobs/enqueue", json=body, headers=SAME_ORIGIN
                )
                found[f"sent {order.status_code}"] += 1
                if order.status_code == 503 and order.get_json()["maybe"]:
                    found["maybe"] += 1
            return found

        with ThreadPoolExecutor(THREADS) as pool:
            asked = [pool.submit(ask, number) for number in range(THREADS)]
            for turn in range(ROUNDS):
                if turn % 3 == 1:
                    proxy.refuse()
                    proxy.cut()
                elif turn % 3 == 2:
                    proxy.forward()
                barrier.wait(60)
            found = sum((each.result() for each in asked), Counter[str]())
        statuses = {text.partition(" ")[0] for text in found} - {"sent", "maybe"}
        assert "500" not in statuses, found
        sent = {text for text in found if text.startswith("sent")}
        assert sent <= {"sent 201", "sent 503"}, found
        assert found["sent 503"] > 0
        done = redis.llen("resque:queue:low")
        assert found["sent 201"] <= done <= found["sent 201"] + found["maybe"]
        proxy.forward()
        wait_until(
            lambda: pages.client.get(f"{API}/status").status_code == 200,
            what="an answer of the server that is back",
        )
