"""Local variables on the event: off unless asked for, bounded, redacted, and nobody's code run."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import time
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from planted import CARD, GATE, SECRETS, plain, send

import everylayer
from contract.telemetry import Telemetry
from everylayer import settings as everylayer_settings
from everylayer.redaction.redactor import FAILED, Redactor
from everylayer.settings import Settings

LOCALS = "everylayer.exception.locals"
ON = Settings(local_variables=True)


def failed(**given: Any) -> BaseException:
    """Return an error from a frame with these variables."""

    def inner(sku: str, value: Any = None, other: Any = None) -> None:
        raise LookupError(sku)

    try:
        inner("espresso", **given)
    except LookupError as exc:
        return exc
    raise AssertionError


def shown(exc: BaseException, request_of: Callable[..., Any], rules: Settings = ON) -> str:
    span, ledger = request_of(rules)
    ledger.see(exc, layer=GATE)
    ledger.responded(500)
    span.end()
    (event,) = span.events
    return str(event.attributes.get(LOCALS, ""))


@pytest.fixture
def line_of(request_of: Callable[..., Any]) -> Callable[[Any], str]:
    """Show one value, and return what came of it."""

    def line(value: Any) -> str:
        found = shown(failed(value=value), request_of)
        (one,) = (each for each in found.splitlines() if each.startswith("  value = "))
        return one.removeprefix("  value = ")

    return line


def test_off_nothing_is_shown(request_of: Callable[..., Any]) -> None:
    assert shown(failed(), request_of, Settings()) == ""


def test_the_innermost_frame_comes_first_with_its_line(request_of: Callable[..., Any]) -> None:
    exc = failed(value=3)
    lines = shown(exc, request_of).splitlines()
    assert lines[0].startswith(f'File "{__file__}", line ')
    assert lines[0].endswith("inner")
    assert lines[1:4] == ["  sku = 'espresso'", "  value = 3", "  other = None"]
    assert lines[4].endswith("in failed")
    # Functions, classes and modules are no values.
    assert not any(line.startswith("  inner = ") for line in lines)


def test_both_sinks_have_them(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup")
    everylayer_settings.reset()
    assert send(failed(), ON).count("sku = 'espresso'") == 2


def test_frames_of_libraries_have_none(request_of: Callable[..., Any]) -> None:
    import json

    try:
        json.loads("{")
    except ValueError as exc:
        found = shown(exc, request_of)
    assert "in decode" not in found
    assert "File " in found


class Hostile:
    def __repr__(self) -> str:
        raise AssertionError("asked")

    __str__ = __len__ = __iter__ = __hash__ = __eq__ = __bool__ = __repr__  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("asked")


class Meta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise AssertionError("asked")

    def __getattribute__(cls, name: str) -> Any:
        raise AssertionError("asked")


class HostileClass(metaclass=Meta):
    pass


class LoudText(str):
    def __repr__(self) -> str:
        raise AssertionError("asked")

    __str__ = __len__ = __getitem__ = __repr__  # type: ignore[assignment]


class LoudDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise AssertionError("asked")

    __iter__ = __len__ = items


class Colour(enum.IntEnum):
    RED = 1


@dataclasses.dataclass
class Payment:
    number: Annotated[str, everylayer.Sensitive("card")]
    reference: str
    password: str = "x"

    def __repr__(self) -> str:
        raise AssertionError("asked")


CYCLE: list[Any] = [1]
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Hostile(), "<test_variables.Hostile object>"),
        (object.__new__(HostileClass), "<test_variables.HostileClass object>"),
        (LoudText("espresso"), "'espresso'"),
        (LoudDict(a=1), "{'a': 1}"),
        (Colour.RED, "1"),
        (CYCLE, "[1, <itself>]"),
        ("a\ud800b", "'a\\ud800b'"),
        (b"a\xff", "b'a\\\\xff'"),
        (10**5000, "<int of 16610 bits>"),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
        (datetime.date(2026, 11, 21), "datetime.date(2026, 11, 21)"),
        (collections.deque([1]), "deque([1])"),
        (collections.OrderedDict(a=(1,)), "{'a': (1)}"),
        (frozenset(), "frozenset({})"),
        ({"password": ["a1", "b2"], "user": "jane"}, "{'password': [secret], 'user': 'jane'}"),
        (ValueError("no", CARD), "ValueError('no', '[card]')"),
        ([[[[[1]]]]], "[[[[...]]]]"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, ... 92 more]"),
        (4111111111111111, "[card]"),
        ({CARD: 1}, "{'[card]': 1}"),
        (CARD.encode(), "b'[card]'"),
        (
            Payment("what-no-rule-knows", "A1"),
            "test_variables.Payment(number=[card], reference='A1', password=[secret])",
        ),
    ],
    ids=map(str, range(22)),
)
def test_a_value_is_shown_by_its_type(
    value: Any, wanted: str, line_of: Callable[[Any], str]
) -> None:
    found = line_of(value)
    assert found.replace(f"{__name__}.", "test_variables.") == wanted


@pytest.mark.parametrize("library", ["attrs", "pydantic"])
def test_objects_of_other_libraries_are_shown_by_their_fields(
    library: str, line_of: Callable[[Any], str]
) -> None:
    module = pytest.importorskip(library)
    annotations = {"number": Annotated[str, everylayer.Sensitive("card")], "reference": str}
    made = {"__annotations__": annotations, "__module__": "shop"}
    if library == "attrs":
        # In slots, by default.
        cls: Any = module.define(type("Order", (), made))
    else:
        cls = type("Order", (module.BaseModel,), made)
    found = line_of(cls(number="what-no-rule-knows", reference="A1"))
    assert found == "shop.Order(number=[card], reference='A1')"


def test_what_is_huge_is_bounded_and_quick(line_of: Callable[[Any], str]) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep, "x" * 100]
    for value in ("x" * 10_000_000, b"x" * 10_000_000, [["y" * 9000] * 50] * 50, deep):
        began = time.perf_counter()
        found = line_of(value)
        assert len(found) <= 200
        assert time.perf_counter() - began < 1


def test_variables_frames_and_all_are_bounded(request_of: Callable[..., Any]) -> None:
    names = [f"v{i}" for i in range(50)]
    body = f" {' = '.join(names)} = 'ä' * 1000\n if depth: many(depth - 1)\n 1 / 0"
    code = f"def many(depth):\n{body}"
    space: dict[str, Any] = {}
    exec(compile(code, "/srv/shop/many.py", "exec"), space)
    try:
        space["many"](10)
    except ZeroDivisionError as exc:
        found = shown(exc, request_of)
        small = shown(exc, request_of, Settings(local_variables=True, max_stack_bytes=300))
    assert len(found.encode()) <= 4096
    assert found.endswith("[... more left out ...]")
    assert all(len(line) <= 300 for line in found.splitlines())
    assert 0 < len(small.encode()) <= 300
    assert small.splitlines()[0] == 'File "/srv/shop/many.py", line 4, in many'


def test_a_sensitive_name_hides_its_value_whatever_that_is(request_of: Callable[..., Any]) -> None:
    def pay(password: str, api_key: bytes, token: object, card: str, passenger: str) -> None:
        raise LookupError

    try:
        pay("a b", b"c d", Hostile(), CARD, "12A")
    except LookupError as exc:
        found = shown(exc, request_of).splitlines()[1:6]
    assert found == [
        "  password = [secret]",
        "  api_key = [secret]",
        "  token = [secret]",
        "  card = '[card]'",
        "  passenger = '12A'",
    ]


def test_what_the_app_named_or_marked_is_found(telemetry: Telemetry) -> None:
    reference = "what-no-rule-knows"

    def name(_: object) -> None:
        everylayer.sensitive(reference)

    found = send(failed(value=[f"of {reference}"]), ON, name)
    assert reference not in found
    assert "[sensitive]" in found
    # The text of a marked field, in another variable.
    found = send(failed(value=Payment("what-none-knows", "A1"), other="to what-none-knows"), ON)
    assert "what-none-knows" not in found
    assert "other = 'to [card]'" in found


def test_without_redaction_they_are_bounded_alone(request_of: Callable[..., Any]) -> None:
    rules = Settings(local_variables=True, redaction="off")
    found = shown(failed(value=CARD, other="x" * 9000), request_of, rules)
    assert CARD in found
    assert len(found) < 2000


def test_a_redactor_that_fails_closes(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int], request_of: Callable[..., Any]
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError(CARD)

    monkeypatch.setattr(Redactor, "_found", fail)
    found = shown(failed(value=CARD, other="doppio"), request_of)
    assert CARD not in found
    assert "doppio" not in found
    assert FAILED in found
    assert failures["everylayer.redaction"] > 0


WRAPPED: list[Callable[[str], Any]] = [
    str, str.encode, LoudText, lambda t: [t], lambda t: {"a": (t,)}, lambda t: {t: 1},
    lambda t: LoudDict(a=t), lambda t: ValueError(t), lambda t: Payment(t, t), lambda t: {t},
    lambda t: collections.deque([[t]]), lambda t: ["x" * 150, t],
]  # fmt: skip


@budget(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    secret=st.sampled_from(SECRETS),
    wrapped=st.sampled_from(WRAPPED),
    fill=st.integers(0, 9000),
    after=st.text(st.characters(exclude_categories=("Nd", "L", "Pc", "Pd")), max_size=5),
)
def test_no_secret_is_shown(
    secret: str, wrapped: Callable[[str], Any], fill: int, after: str
) -> None:
    found = send(failed(value=wrapped(f"{'. ' * (fill // 2)} {secret} {after}{'. ' * 300}")), ON)
    assert "value = " in found
    assert plain(secret)[:9] not in found
    assert plain(secret)[-9:] not in found
