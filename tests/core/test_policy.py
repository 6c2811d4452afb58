"""What an error means: the table of semantics, row by row."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everylayer import policy
from everylayer.policy import Verdict, is_departure, judge
from everylayer.settings import Settings

IGNORE, HANDLED, ERROR = Verdict.IGNORE, Verdict.HANDLED, Verdict.ERROR


class Shop(Exception):
    pass


class Sold(Shop):
    pass


SHOP, SOLD = f"{__name__}.Shop", f"{__name__}.Sold"


def verdict(exc: BaseException | None = None, rules: Settings | None = None, **given: Any) -> Any:
    case: dict[str, Any] = {
        "layer_kind": "middleware",
        "client_status": None,
        "response_status": None,
        "escaped": False,
        "handled": None,
        **given,
    }
    return judge(exc or ValueError("x"), rules or Settings(), **case)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # escapes, or ends as a 5xx
        ({}, ERROR),
        ({"escaped": True}, ERROR),
        ({"escaped": True, "response_status": 200}, ERROR),
        ({"escaped": True, "response_status": 404, "client_status": 404}, ERROR),
        ({"response_status": 500}, ERROR),
        ({"response_status": 599}, ERROR),
        ({"response_status": 500, "client_status": 404}, ERROR),
        ({"response_status": 500, "client_status": 302, "layer_kind": "view"}, ERROR),
        # swallowed, response < 500
        ({"response_status": 200}, HANDLED),
        ({"response_status": 499}, HANDLED),
        ({"response_status": 302, "layer_kind": "view"}, HANDLED),
        ({"response_status": 101}, HANDLED),
        # a client error raised by a middleware layer or hook
        ({"client_status": 403, "response_status": 403}, HANDLED),
        ({"client_status": 400, "response_status": 400, "layer_kind": "hook"}, HANDLED),
        ({"client_status": 401}, HANDLED),
        # 404 / 405 of routing, a view's own
        ({"client_status": 404, "response_status": 404, "layer_kind": "view"}, IGNORE),
        ({"client_status": 405, "response_status": 405, "layer_kind": "framework"}, IGNORE),
        ({"client_status": 403, "response_status": 403, "layer_kind": "route"}, IGNORE),
        ({"client_status": 403, "response_status": 403, "layer_kind": "handler"}, IGNORE),
        ({"client_status": 403, "response_status": 403, "layer_kind": "app"}, IGNORE),
        # a redirect by exception is no error anywhere
        ({"client_status": 302, "response_status": 302}, IGNORE),
        # what the app said about it
        ({"handled": True}, HANDLED),
        ({"handled": True, "response_status": 500}, HANDLED),
        ({"handled": False, "response_status": 200}, ERROR),
    ],
)
def test_table(given: dict[str, Any], expected: Verdict) -> None:
    assert verdict(**given) is expected


@pytest.mark.parametrize(
    ("client_errors", "kind", "status", "expected"),
    [
        ("all", "view", 404, HANDLED),
        ("all", "middleware", 404, HANDLED),
        ("all", "view", 302, IGNORE),
        ("layers", "view", 404, IGNORE),
        ("layers", "middleware", 404, HANDLED),
        ("none", "middleware", 404, IGNORE),
        ("none", "hook", 403, IGNORE),
    ],
)
def test_client_errors_setting(
    client_errors: Any, kind: str, status: int, expected: Verdict
) -> None:
    rules = Settings(client_errors=client_errors)
    given = {"layer_kind": kind, "client_status": status, "response_status": status}
    assert verdict(rules=rules, **given) is expected
    assert verdict(rules=rules, **{**given, "response_status": 500}) is ERROR


@pytest.mark.parametrize("exc", [SystemExit(1), KeyboardInterrupt()])
def test_what_ends_the_process_is_an_error(exc: BaseException) -> None:
    assert verdict(exc, escaped=True) is ERROR
    assert verdict(exc) is ERROR


def named(module: str, name: str) -> type[Exception]:
    return type(name, (Exception,), {"__module__": module})


DEPARTED: list[BaseException] = [
    asyncio.CancelledError(),
    GeneratorExit(),
    named("litestar.exceptions.websocket_exceptions", "WebSocketDisconnect")(),
    named("starlette.requests", "ClientDisconnect")(),
    named("starlette.websockets", "WebSocketDisconnect")(),
    named("django.core.exceptions", "RequestAborted")(),
    named("uvicorn.protocols.utils", "ClientDisconnected")(),
    named("trio", "Cancelled")(),
    type("Derived", (named("starlette.requests", "ClientDisconnect"),), {})(),
]


@pytest.mark.parametrize("exc", DEPARTED, ids=lambda exc: type(exc).__qualname__)
def test_a_departure_is_no_error(exc: BaseException) -> None:
    assert is_departure(exc)
    assert verdict(exc, escaped=True, response_status=500) is IGNORE
    assert verdict(exc, handled=False) is IGNORE


def test_a_class_of_the_same_bare_name_is_no_departure() -> None:
    assert not is_departure(named("shop", "ClientDisconnect")())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
class TestGroups:
    def test_a_group_of_departures_is_one(self) -> None:
        inner = BaseExceptionGroup("inner", [GeneratorExit()])
        group = BaseExceptionGroup("gone", [asyncio.CancelledError(), inner])
        assert is_departure(group)
        assert verdict(group, escaped=True) is IGNORE

    def test_one_error_among_departures_counts(self) -> None:
        inner = BaseExceptionGroup("inner", [GeneratorExit(), ValueError()])
        assert not is_departure(BaseExceptionGroup("mixed", [asyncio.CancelledError(), inner]))

    def test_a_group_as_deep_as_it_gets_does_not_break_the_verdict(self) -> None:
        group: BaseException = ValueError("at the bottom")
        for _ in range(5_000):
            group = BaseExceptionGroup("deeper", [group])
        assert not is_departure(group)
        assert verdict(group, escaped=True) is ERROR

    def test_a_wide_group_is_judged_in_bounded_time(self) -> None:
        shared = [asyncio.CancelledError()] * 1000
        for _ in range(20):  # 1000 ** 20 paths lead to the same few objects
            shared = [BaseExceptionGroup("wide", shared)] * 1000  # type: ignore[list-item]
        assert verdict(BaseExceptionGroup("wide", shared)) in (IGNORE, ERROR)


@pytest.mark.parametrize("names", [(SHOP,), (SOLD,), ("KeyError", SHOP)])
def test_ignored_classes_and_what_derives_from_them(names: tuple[str, ...]) -> None:
    rules = Settings(ignored=names)
    assert verdict(Sold(), rules, escaped=True) is IGNORE
    assert (verdict(Shop(), rules) is IGNORE) is (SHOP in names)
    assert verdict(ValueError(), rules) is ERROR


@pytest.mark.parametrize("given", [{}, {"escaped": True}, {"response_status": 500}])
def test_expected_classes_are_never_an_error(given: dict[str, Any]) -> None:
    rules = Settings(expected=(SHOP,))
    assert verdict(Sold(), rules, **given) is HANDLED
    assert verdict(ValueError(), rules, **given) is ERROR


def test_ignored_wins_over_expected_and_over_what_the_app_said() -> None:
    rules = Settings(ignored=(SOLD,), expected=(SHOP,))
    assert verdict(Sold(), rules, handled=False) is IGNORE
    assert verdict(Shop(), rules, handled=False) is HANDLED


def test_expected_does_not_bring_a_silent_client_error_back() -> None:
    rules = Settings(expected=(SHOP,))
    assert verdict(Shop(), rules, layer_kind="view", client_status=404) is IGNORE


def test_a_class_cannot_hide_from_the_rules() -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError(f"{name} is broken")

    class Hidden(ValueError, metaclass=Meta):
        pass

    assert policy.matches(Hidden(), ("ValueError",))
    assert verdict(Hidden(), Settings(ignored=("ValueError",))) is IGNORE


STATUS = st.none() | st.integers(100, 599)


@given(
    kind=st.sampled_from(["middleware", "hook", "handler", "view", "route", "framework", "app"]),
    client_status=st.none() | st.integers(300, 499),
    response_status=STATUS,
    escaped=st.booleans(),
    client_errors=st.sampled_from(["layers", "all", "none"]),
)
def test_whatever_the_rest_a_failed_request_shows_its_error(
    kind: str,
    client_status: int | None,
    response_status: int | None,
    escaped: bool,
    client_errors: Any,
) -> None:
    found = verdict(
        rules=Settings(client_errors=client_errors),
        layer_kind=kind,
        client_status=client_status,
        response_status=response_status,
        escaped=escaped,
    )
    failed = escaped or (response_status is not None and response_status >= 500)
    assert (found is ERROR) is (failed or (response_status is None and client_status is None))
