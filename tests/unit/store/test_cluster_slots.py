"""The reply to CLUSTER SLOTS: who serves a slot, and which other nodes there are."""

from __future__ import annotations

from typing import Any

import pytest

from resqued.store.locator import KnownNodes, read_slots

A, B, C = ("10.0.0.1", 7000), ("10.0.0.2", 7000), ("10.0.0.3", 7001)


def node(host: bytes | None, port: int) -> list[Any]:
    return [host, port, b"id", []]


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_without_a_name_is_at_the_host_that_was_asked(host: bytes) -> None:
    own, _ = read_slots([[0, 16383, node(host, 7000)]], 5, "asked")
    assert own == [("asked", 7000)]


def test_the_primary_of_the_slot_comes_first_and_replicas_are_known_too() -> None:
    ranges = [
        [0, 99, node(b"10.0.0.1", 7000), node(b"10.0.0.3", 7001)],
        [100, 16383, node(b"10.0.0.2", 7000)],
    ]
    assert read_slots(ranges, 99, "x") == ([A], [C, B])
    assert read_slots(ranges, 100, "x") == ([B], [A, C])


def test_a_slot_that_nobody_serves_has_no_primary() -> None:
    own, others = read_slots([[0, 99, node(b"10.0.0.1", 7000)]], 100, "x")
    assert (own, others) == ([], [A])


def test_one_server_is_no_cluster_until_it_names_another_node() -> None:
    nodes = KnownNodes("redis://10.0.0.1:7000", [A], "{a}", is_cluster=False)
    assert not nodes.can_move
    nodes.move(*B)
    assert (nodes.can_move, nodes.locate(), nodes.choices) == (True, B, 2)


def test_a_node_that_names_no_host_means_its_own() -> None:
    nodes = KnownNodes("redis://10.0.0.1:7000", [A], "{a}", is_cluster=False)
    nodes.move("", 7005)
    assert nodes.locate() == (A[0], 7005)


def test_another_node_is_tried_after_one_that_failed() -> None:
    nodes = KnownNodes("redis+cluster://…", [A, B, C], "{a}", is_cluster=True)
    tried = []
    for _ in range(4):
        tried.append(nodes.locate())
        nodes.suspect()
    assert tried == [A, B, C, A]


class Asked:
    """A connection to a node of a cluster, which answers CLUSTER SLOTS."""

    def __init__(self, asked: tuple[str, int], *nodes: tuple[str, int]) -> None:
        self.host, self.port = asked
        self._nodes = nodes

    def send_command(self, *_words: str) -> None:
        pass

    def read_response(self) -> Any:
        named = [node(host.encode(), port) for host, port in self._nodes]
        return [[0, 16383, *named]]


def test_nodes_that_have_left_the_cluster_are_forgotten() -> None:
    """Those of Kubernetes have other addresses each time; named hosts stay."""
    nodes = KnownNodes("redis+cluster://…", [("named", 1)], "{a}", is_cluster=True)
    for number in range(100):
        new = (f"10.0.0.{number}", 7000)
        nodes.move(*new)
        nodes.arrive(Asked(new, new, C), {b"mode": b"cluster"})
    assert nodes.choices == 3
    assert nodes.locate() == ("10.0.0.99", 7000)
