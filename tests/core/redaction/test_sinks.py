"""No planted secret reaches any sink, whatever path it takes."""

from __future__ import annotations

import dataclasses
import json
import threading
from contextvars import copy_context
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from opentelemetry.trace import Span, Status, StatusCode
from planted import CARD, GATE, PATHS, SECRETS, linked, plain, send

import everylayer
from contract.telemetry import session
from everylayer import settings as everylayer_settings
from everylayer.ledger import Ledger
from everylayer.redaction.redactor import FAILED, MOST, Redactor
from everylayer.settings import Settings
from everylayer.text import clean

NAMED = ("Zx-marks the \ud800spot", 'with "quotes" and \\ and \n', "größer als 5", b"\x00bytes\xff")


@dataclasses.dataclass
class Payment:
    number: Annotated[str, everylayer.Sensitive("card")]
    reference: str


class Refused(Exception):
    def __init__(self, payment: Payment) -> None:
        super().__init__(payment)


@pytest.fixture(autouse=True)
def _both_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup")
    everylayer_settings.reset()


AROUND = st.text(st.characters(exclude_categories=("Nd", "L", "Lu", "Ll", "Pc", "Pd")), max_size=30)


@pytest.mark.parametrize("path", PATHS)
@budget(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    secret=st.sampled_from(SECRETS),
    before=AROUND,
    after=AROUND,
    fill=st.integers(0, 5000),
    limit=st.sampled_from([64, 200, 4096]),
)
def test_no_secret_arrives(
    path: str, secret: str, before: str, after: str, fill: int, limit: int
) -> None:
    text = f"{'. ' * fill}{before} {secret} {after}{'. ' * (5000 - fill)}"
    rules = Settings(max_message_bytes=limit, max_stack_bytes=4 * limit)
    found = send(linked(path, text), rules)
    assert plain(secret) not in found
    # Nor a half of it, next to the cut.
    assert plain(secret)[:9] not in found
    assert plain(secret)[-9:] not in found


# A card whose digits a lone surrogate or a dash parts is one.
PARTED = ("41111111\ud80011111111", "4111-1111-1111-1111", "password=hunt\ud8003r2secret")


@budget(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(PATHS),
    secret=st.sampled_from((*SECRETS, *PARTED)),
    before=AROUND,
    fill=st.integers(0, 1500),
    by_value=st.booleans(),
)
def test_no_secret_arrives_in_a_description_or_a_snapshot(
    path: str, secret: str, before: str, fill: int, by_value: bool
) -> None:
    text = f"{'. ' * fill}{before} {secret} {'. ' * (1500 - fill)}"

    def describe(span: Span) -> None:
        # What the app says itself, before an error and beside it.
        status = Status(StatusCode.ERROR, text)
        span.set_status(status) if by_value else span.set_status(StatusCode.ERROR, text)

    found = send(linked(path, text), Settings(local_variables=True), describe)
    thread = threading.current_thread()
    name, thread.name = thread.name, text
    try:
        taken = everylayer.snapshot()
    finally:
        thread.name = name
    found += taken.text() + json.dumps(taken.to_json())
    ends = plain(secret).replace("\ud800", "\\ud800")
    assert ends not in found
    assert ends[:7] not in found
    assert ends[-7:] not in found


@pytest.mark.parametrize("value", NAMED)
@pytest.mark.parametrize("path", PATHS)
def test_a_named_value_is_found_in_any_form(path: str, value: Any) -> None:
    text = value if isinstance(value, str) else repr(value)
    found = send(
        linked(path, f"it said {text}!"), Settings(), lambda _: everylayer.sensitive(value)
    )
    core = text[1:-1] if isinstance(value, str) else "bytes"
    assert clean(core) not in found
    assert repr(core)[1:-1] not in found


def test_a_named_value_is_known_where_another_context_named_it() -> None:
    def name(_: Span) -> None:
        copy_context().run(everylayer.sensitive, "espresso doppio")

    assert "doppio" not in send(ValueError("no espresso doppio left"), Settings(), name)


def test_a_named_value_is_of_one_request() -> None:
    send(ValueError("x"), Settings(), lambda _: everylayer.sensitive("espresso doppio"))
    assert "doppio" in send(ValueError("no espresso doppio left"), Settings())


def test_a_marked_field_is_found_in_arguments_and_local_variables() -> None:
    def pay() -> None:
        payment = Payment("not-a-known-form", "A1")
        raise ValueError(f"refused {payment.number} of {payment.reference}")

    found = send(Refused(Payment("not-a-known-form", "A1")), Settings())
    assert "not-a-known-form" not in found
    assert "[card]" in found
    try:
        pay()
    except ValueError as exc:
        found = send(exc, Settings())
    assert "not-a-known-form" not in found
    assert "of A1" in found


@pytest.mark.parametrize("library", ["attrs", "pydantic"])
def test_a_marked_field_of_other_libraries(library: str) -> None:
    module = pytest.importorskip(library)
    made = {"__annotations__": {"number": Annotated[str, everylayer.Sensitive("card")]}}
    if library == "attrs":
        cls: Any = module.define(type("Payment", (), made))
    else:
        cls = type("Payment", (module.BaseModel,), {**made, "__module__": __name__})
    found = send(ValueError(cls(number="not-a-known-form")), Settings())
    assert "not-a-known-form" not in found


def test_what_was_recorded_before_the_guard_stood_passes_too() -> None:
    exc = linked("message", f"card {CARD}")

    def record(span: Span) -> None:
        span.record_exception(exc, {"shop.order": CARD})
        span.set_status(Status(StatusCode.ERROR, f"password=hunt3r2 {CARD}"))

    found = send(ValueError("x"), Settings(), record)
    # The app's own attributes are its own.
    assert found.count(CARD) == 1
    assert "hunt3r2" not in found


def test_what_an_ended_span_says_already_makes_no_late_span() -> None:
    exc = linked("message", f"card {CARD}")
    with session() as telemetry:
        span = telemetry.provider.get_tracer("app").start_span("GET /")
        ledger = Ledger(Settings())
        ledger.bind(span)
        span.record_exception(exc)
        span.end()
        ledger.see(exc, layer=GATE)
        ledger.close()
        assert [span.name for span in telemetry.spans] == ["GET /"]


def test_a_redactor_that_fails_closes(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int]
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError(CARD)

    monkeypatch.setattr(Redactor, "_found", fail)
    found = send(linked("cause", f"card {CARD}"), Settings())
    assert CARD not in found
    assert FAILED in found
    assert failures["everylayer.redaction"] > 0


def test_marked_fields_that_cannot_be_collected_close(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int]
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("everylayer.redaction.annotated.collect", fail)
    found = send(linked("message", "espresso doppio"), Settings())
    assert "doppio" not in found
    assert failures["everylayer.redaction"] > 0


@pytest.mark.parametrize("at", [24_000, 24_560, 24_570, 24_576, 100_000, 175_424, 175_430, 199_000])
def test_beyond_the_bound_no_half_is_left(at: int) -> None:
    redactor = everylayer.Redaction().redactor
    text = f"{'. ' * (at // 2)} {CARD} {'. ' * ((200_000 - at) // 2)}"
    kept, left_out = redactor.bounded(text, 4096)
    assert len(kept) <= MOST
    assert left_out > 100_000
    assert "4111" not in kept
    assert "1111" not in kept


OPENING = (
    "password='{}'", 'password="{}"', '{{"token": "{}"}}', '"{{\\"api_key\\": \\"{}\\"}}"',
    "secret=`{}`", "Cookie: {}\n", "Authorization: {}\n", "{{'cookie': '{}'}}",
)  # fmt: skip


@pytest.mark.parametrize("form", OPENING)
@pytest.mark.parametrize(("size", "lead"), [(9_000, 9_000), (60_000, 0), (60_000, 90_000)])
def test_a_long_value_with_blanks_leaves_no_tail(form: str, size: int, lead: int) -> None:
    redactor = everylayer.Redaction().redactor
    value = "it\\'s \\\" doppio " * (size // 15)
    if form.startswith(("Cookie", "Authorization")):
        # Such a line ends where quotes begin.
        value = value.replace("\\'", "").replace('\\"', "")
    if "api_key" in form:
        value = value.replace("\\", "\\\\\\")
    text = f"{'. ' * (lead // 2)}{form.format(value)} and so on {'. ' * 30_000}"
    kept, _ = redactor.bounded(text, 4096)
    assert "doppio" not in kept
    assert kept.endswith(". . ")


def test_what_only_looks_open_is_kept() -> None:
    redactor = everylayer.Redaction().redactor
    said = "it said 'no' and \"yes\" to 'espresso\n"
    text = f"password='x'\n{said}{'doppio ' * 20_000}"
    kept, left_out = redactor.bounded(text, 4096)
    assert left_out == len(text) - 2 * 24_576
    assert kept.count("doppio") > 6_000


def test_switched_off_everything_passes() -> None:
    assert CARD in send(ValueError(f"card {CARD}"), Settings(redaction="off"))
