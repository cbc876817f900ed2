"""Job classes with hooks, as the wire cases have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import resqued


class Quiet:
    """A job that does nothing."""

    queue = "default"

    @staticmethod
    def perform(*args: object) -> None:
        pass


@resqued.job(name="VetoQ")
class VetoQ(Quiet):
    @staticmethod
    def before_enqueue_veto(*args: object) -> bool:
        return False


@resqued.job(name="NilQ")
class NilQ(Quiet):
    @staticmethod
    def before_enqueue_nothing(*args: object) -> None:
        return None


@resqued.job(name="RaiseQ")
class RaiseQ(Quiet):
    @staticmethod
    def before_enqueue_raise(*args: object) -> None:
        raise RuntimeError("be")


@resqued.job(name="AfterEnq")
class AfterEnq(Quiet):
    @staticmethod
    def after_enqueue_raise(*args: object) -> None:
        raise RuntimeError("ae")


@resqued.job(name="VetoD")
class VetoD(Quiet):
    @staticmethod
    def before_dequeue_veto(*args: object) -> bool:
        return False


@resqued.job(name="AfterDeq")
class AfterDeq(Quiet):
    @staticmethod
    def after_dequeue_raise(*args: object) -> None:
        raise RuntimeError("ad")


@resqued.job(name="VetoS")
class VetoS(Quiet):
    @staticmethod
    def before_schedule_veto(*args: object) -> bool:
        return False


@resqued.job(name="AfterSched")
class AfterSched(Quiet):
    @staticmethod
    def after_schedule_raise(*args: object) -> None:
        raise RuntimeError("as")

    @staticmethod
    def before_delayed_enqueue_raise(*args: object) -> None:
        raise RuntimeError("it ran")


@resqued.job(name="Dont")
class Dont:
    queue = "default"

    @staticmethod
    def before_perform_dont(*args: object) -> None:
        raise resqued.DontPerform

    @staticmethod
    def perform(*args: object) -> None:
        raise RuntimeError("it ran")

    after_perform_raise = perform


@resqued.job(name="DontOutside")
class DontOutside(Quiet):
    @staticmethod
    def around_perform_dont(*args: object) -> Iterator[None]:
        raise resqued.DontPerform
        yield


@resqued.job(name="SwallowsIt")
class SwallowsIt:
    queue = "default"

    @staticmethod
    def around_perform_swallow(*args: object) -> Iterator[None]:
        with suppress(ValueError):
            yield

    @staticmethod
    def perform(*args: object) -> None:
        raise ValueError("bad thing")


@resqued.job(name="NoYield")
class NoYield:
    queue = "default"

    @staticmethod
    def around_perform_nothing(*args: object) -> Iterator[None]:
        if args == ("never",):
            yield

    @staticmethod
    def perform(*args: object) -> None:
        raise RuntimeError("it ran")


@resqued.job(name="BeforeBoom")
class BeforeBoom(Quiet):
    @staticmethod
    def before_perform_raise(*args: object) -> None:
        raise RuntimeError("before")


@resqued.job(name="AfterBoom2")
class AfterBoom2(Quiet):
    @staticmethod
    def after_perform_raise(*args: object) -> None:
        raise RuntimeError("after")


@resqued.job(name="FailBoom")
class FailBoom:
    queue = "default"

    @staticmethod
    def on_failure_raise(error: Exception, *args: object) -> None:
        raise RuntimeError(f"not {error}")

    @staticmethod
    def perform(*args: object) -> None:
        raise ValueError("bad thing")
