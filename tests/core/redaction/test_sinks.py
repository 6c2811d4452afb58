"""No planted secret reaches any sink, whatever path it takes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from opentelemetry.trace import Span, Status, StatusCode, use_span

import everylayer
from contract.telemetry import Telemetry, session
from everylayer import settings as everylayer_settings
from everylayer.layers import Layer
from everylayer.ledger import Ledger
from everylayer.redaction.redactor import FAILED, MOST, Redactor
from everylayer.settings import Settings
from everylayer.text import clean

GATE = Layer("Gate", "middleware")
CARD = "4111111111111111"
SECRETS = (CARD, "jane.doe@example.com", "password=hunt3r2secret", "GB82WEST12345698765432")
NAMED = ("Zx-marks the \ud800spot", 'with "quotes" and \\ and \n', "größer als 5", b"\x00bytes\xff")


@dataclasses.dataclass
class Payment:
    number: Annotated[str, everylayer.Sensitive("card")]
    reference: str


class Refused(Exception):
    def __init__(self, payment: Payment) -> None:
        super().__init__(payment)


def shown(telemetry: Telemetry) -> str:
    """Return every text that any sink was given."""
    texts = [span.status.description or "" for span in telemetry.spans]
    for span in telemetry.spans:
        texts += [str(value) for value in (span.attributes or {}).values()]
        for event in span.events:
            texts += [str(value) for value in (event.attributes or {}).values()]
    for log in telemetry.logs:
        texts += [str(value) for value in (log.log_record.attributes or {}).values()]
    return "\n".join(texts)


def plain(secret: str) -> str:
    return secret.partition("=")[2] or secret


def linked(path: str, text: str) -> BaseException:  # noqa: C901
    try:
        if path == "message":
            raise ValueError(text)
        if path == "key":
            raise KeyError(text)
        if path == "argument":
            raise ValueError({"payment": [text]}, text)
        if path == "system exit":
            raise SystemExit(text)
        if path == "name":
            raise NameError(text, name=text)
        if path == "syntax":
            raise SyntaxError(text, (text, 1, 1, text))
        if path == "import":
            raise ImportError(text, name=text, path=text)
        if path == "str of a note":
            exc = ValueError("x")
            exc.__notes__ = [ValueError(text), text]  # type: ignore[attr-defined]
            raise exc
        if path == "notes that are none":
            exc = ValueError("x")
            exc.__notes__ = {"note": text}  # type: ignore[attr-defined]
            raise exc
        if path == "group":
            raise ExceptionGroup(text, [ValueError(text), KeyError(text)])
        try:
            raise ValueError(text)
        except ValueError as cause:
            if path == "cause":
                raise RuntimeError("outer") from cause
            raise RuntimeError("outer")  # noqa: B904
    except BaseException as exc:
        return exc


PATHS = [
    "message", "key", "argument", "system exit", "name", "syntax", "import", "str of a note",
    "notes that are none", "cause", "context", *(["group"] if sys.version_info >= (3, 11) else []),
]  # fmt: skip


def send(exc: BaseException, rules: Settings, before: Callable[[Span], None] | None = None) -> str:
    with session() as telemetry:
        span = telemetry.provider.get_tracer("app").start_span("GET /")
        ledger = Ledger(rules)
        ledger.bind(span)
        if before is not None:
            with use_span(span):
                before(span)
        ledger.see(exc, layer=GATE)
        span.record_exception(exc)
        span.set_status(Status(StatusCode.ERROR, f"{type(exc).__name__}: {exc}"))
        ledger.responded(500)
        span.end()
        ledger.close()
        return shown(telemetry)


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


def test_switched_off_everything_passes() -> None:
    assert CARD in send(ValueError(f"card {CARD}"), Settings(redaction="off"))
