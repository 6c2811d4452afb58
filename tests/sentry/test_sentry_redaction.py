"""No secret reaches Sentry by any path, and what holds none goes out as it was."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any

import pytest
import sentry_sdk
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from sentry_sdk.integrations.logging import LoggingIntegration

import everylayer
from contract.telemetry import Telemetry
from everylayer import configure, own_failures
from everylayer.redaction.redactor import FAILED, Redactor
from everylayer.sinks.sentry import redacted, switch
from sentry_kit import Kept, initialised, types

CARD = "4111" + 12 * "1"
# What is planted, and the part of it that must not arrive.
SECRETS = (
    (CARD, CARD),
    ("jane.doe@example.com", "jane.doe@"),
    ("password=hunt3r2secret", "hunt3r2secret"),
    ("GB82WEST12345698765432", "WEST12345698765432"),
    ("4111 1111\ud800 1111 1111", "1111 1111"),
)
# The source of these tests quotes what must not arrive.
BARE = {
    "default_integrations": False,
    "auto_enabling_integrations": False,
    "include_source_context": False,
}


class Told:
    """An object whose `repr` tells what it holds."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<Told {self.text}>"


class OwnRepr(Told):
    def __sentry_repr__(self) -> str:
        return f"for Sentry: {self.text}"


class Hostile(Mapping[str, str]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> str:
        raise RuntimeError(CARD)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(CARD)

    def __len__(self) -> int:
        return 1


def fails(how: str, text: str) -> BaseException:
    """Return an exception that shows `text`, raised within a frame that holds it."""
    held: Any = text if how == "variable" else None
    if how == "nested variable":
        held = {
            "a": [{"b": (text, Told(text))}],
            "scope": {"headers": [(b"cookie", text.encode("utf-8", "surrogatepass"))]},
        }
    if how == "variable of an object":
        held = [OwnRepr(text), Told(text)]
    try:
        try:
            if how in ("cause", "context"):
                raise KeyError(text)
            if how == "member":
                raise ExceptionGroup("both", [ValueError(text), KeyError(text)])
            if how == "note":
                error = ValueError("x")
                error.__notes__ = [text]  # type: ignore[attr-defined]
                raise error
            if how == "argument":
                raise ValueError({"payment": [text]}, Told(text))
            raise ValueError(text if how == "message" else "x")
        except KeyError as cause:
            if how == "cause":
                raise RuntimeError("outer") from cause
            raise RuntimeError("outer")  # noqa: B904
    except BaseException as found:
        assert held is None or held
        return found


ERRORS = (
    "message", "argument", "cause", "context", "note", "variable", "nested variable",
    "variable of an object", *(["member"] if sys.version_info >= (3, 11) else []),
)  # fmt: skip
WHEN = {"timestamp": datetime(2026, 11, 21, tzinfo=timezone.utc)}
# What of an event an app may fill, and with what.
SHAPES: dict[str, Callable[[str], Any]] = {
    "text": lambda text: text,
    "object": Told,
    "own repr": OwnRepr,
    "bytes": lambda text: text.encode("utf-8", "surrogatepass"),
    "deep": lambda text: {"a": {"b": {"c": {"d": {"e": {"f": [text, Told(text)]}}}}}},
    "key": lambda text: {text: 1},
    "sequences": lambda text: [(text,), {text}, frozenset([Told(text)])],
    "wide and deep": lambda text: {"a": {"b": {"c": {"d": ["x"] * 30 + [text]}}}},
    "wide": lambda text: ["x"] * 9 + [text] + ["x"] * 30,
    "mapping": lambda text: OrderedDict(a={"b": text}),
}
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "extra": lambda it: {"extra": {"it": it}},
    "contexts": lambda it: {"contexts": {"shop": {"it": it}}},
    "tags": lambda it: {"tags": {"it": it}},
    "breadcrumb": lambda it: {
        "breadcrumbs": {"values": [{**WHEN, "message": "x", "data": {"it": it}}]}
    },
    "body": lambda it: {"request": {"data": {"it": it}}},
    "query": lambda it: {"request": {"query_string": [("it", it)]}},
    "user's data": lambda it: {"user": {"id": "1", "data": {"it": it}}},
    "mechanism": lambda it: {
        "exception": {"values": [{"type": "E", "mechanism": {"type": "x", "data": {"it": it}}}]}
    },
    "params": lambda it: {"logentry": {"message": "%s", "params": [it]}},
    "unknown": lambda it: {"something new": {"it": it}},
}
TEXTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "message": lambda it: {"message": it},
    "transaction": lambda it: {"transaction": it},
    "fingerprint": lambda it: {"fingerprint": ["x", it]},
    "thread": lambda it: {"threads": {"values": [{"id": 1, "name": it}]}},
    "breadcrumb": lambda it: {"breadcrumbs": {"values": [{**WHEN, "message": it, "category": it}]}},
    "logentry": lambda it: {"logentry": {"message": "%s", "formatted": it, "params": (it,)}},
    "url": lambda it: {"request": {"url": "https://x/?a=" + it, "query_string": "a=" + it}},
}


@pytest.fixture
def sentry() -> Iterator[Kept]:
    with (
        initialised(include_local_variables=True, **BARE) as kept,
        sentry_sdk.isolation_scope() as scope,
    ):
        scope.clear()
        yield kept


def serving(**settings: Any) -> Any:
    configure(**settings)
    return trace.get_tracer("app").start_as_current_span("GET /", kind=SpanKind.SERVER)


def sent(kept: Kept) -> str:
    """Return what went out since the last look: the bytes, and the texts that they stand for."""
    raw = b"\n".join(kept.raw)
    kept.raw = []
    assert raw
    read = "\n".join(repr(json.loads(line)) for line in raw.splitlines())
    return f"{raw.decode()}\n{read}\n{read.encode('utf-8', 'replace').decode()}"


def absent(secret: str, found: str) -> None:
    for part in (secret, secret[:9], secret[-9:]):
        at = found.find(part)
        assert at < 0, found[max(at - 100, 0) : at + 60]


AROUND = st.text(st.characters(exclude_categories=("Nd", "L", "Lu", "Ll", "Pc", "Pd")), max_size=20)
MANY = budget(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("how", ERRORS)
@MANY
@given(
    planted=st.sampled_from(SECRETS),
    before=AROUND,
    after=AROUND,
    fill=st.sampled_from([0, 100, 40_000]),
    ours=st.booleans(),
)
def test_no_secret_of_an_error_arrives(
    telemetry: Telemetry,
    sentry: Kept,
    how: str,
    planted: tuple[str, str],
    before: str,
    after: str,
    fill: int,
    ours: bool,
) -> None:
    text = f"{'. ' * fill}{before} {planted[0]} {after}{'. ' * fill}"
    with serving(sentry="capture", local_variables=True):
        error = fails(how, text)
        if ours:
            everylayer.record(error)
        else:
            sentry_sdk.capture_exception(error)
    absent(planted[1], sent(sentry))


@pytest.mark.parametrize("place", PLACES)
@MANY
@given(planted=st.sampled_from(SECRETS), shape=st.sampled_from(list(SHAPES)), before=AROUND)
def test_no_secret_of_the_app_arrives(
    telemetry: Telemetry,
    sentry: Kept,
    place: str,
    planted: tuple[str, str],
    shape: str,
    before: str,
) -> None:
    configure()
    given = PLACES[place](SHAPES[shape](f"{before} {planted[0]} "))
    sentry_sdk.capture_event(given)
    absent(planted[1], sent(sentry))


@pytest.mark.parametrize("place", TEXTS)
@pytest.mark.parametrize("planted", SECRETS)
def test_no_secret_of_a_text_arrives(
    telemetry: Telemetry, sentry: Kept, place: str, planted: tuple[str, str]
) -> None:
    configure()
    # A prefix that no other text has cut.
    for text in (planted[0], f"see: {planted[0]}", ". " * 40_000 + planted[0]):
        sentry_sdk.capture_event(TEXTS[place](text))
        absent(planted[1], sent(sentry))


def test_numbers_are_texts_too(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    sentry_sdk.capture_event({"extra": {"card": int(CARD), "cost": 12.5, "paid": True, "n": 41}})
    found = json.loads(sentry.raw[0])["extra"]
    assert found == {"card": "[card]", "cost": 12.5, "paid": True, "n": 41}


def test_a_name_tells_of_its_value(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    given = {
        "password": "espresso",
        "db": {"api_key": ["doppio", 7], "token": None, "secret": ""},
        "tags of it": ["password", "name"],
        "headers": [("Cookie", "a=ristretto"), ["x", "y"]],
        "argv": ["run", "--password", "lungo", "--verbose"],
    }
    sentry_sdk.capture_event({"contexts": {"shop": given, "session": {"id": "corretto"}}})
    found = json.loads(sentry.raw[0])["contexts"]
    assert found["shop"] == {
        "password": "[secret]",
        "db": {"api_key": ["[secret]", "[secret]"], "token": None, "secret": ""},
        "tags of it": ["password", "name"],
        "headers": [["Cookie", "[secret]"], ["x", "y"]],
        "argv": ["run", "--password", "[secret]", "--verbose"],
    }
    assert found["session"] == {"id": "[secret]"}


def test_names_in_a_request(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    request = {
        "method": "POST",
        "cookies": {"theme": "espresso"},
        "headers": {"X-Api-Key": "doppio", "Accept": "*/*"},
        "query_string": [("token", "lungo"), ("page", "2")],
        "url": "https://jane:ristretto@shop.example/",
    }
    sentry_sdk.capture_event({"request": request})
    found = json.loads(sentry.raw[0])["request"]
    assert found["cookies"] == {"theme": "[secret]"}
    assert found["headers"] == {"X-Api-Key": "[secret]", "Accept": "*/*"}
    assert found["query_string"] == [["token", "[secret]"], ["page", "2"]]
    assert found["url"] == "https://jane:[password]@shop.example/"


def test_variables_have_names(telemetry: Telemetry, sentry: Kept) -> None:
    def pay() -> None:
        passphrase, amount, otp = "espresso", 12, None
        raise ValueError(amount, bool(passphrase), otp)

    configure()
    with pytest.raises(ValueError, match="12") as caught:
        pay()
    sentry_sdk.capture_exception(caught.value)
    frames = json.loads(sentry.raw[0])["exception"]["values"][-1]["stacktrace"]["frames"]
    found = {name: value.strip("'") for name, value in frames[-1]["vars"].items()}
    assert found == {"passphrase": "[secret]", "amount": "12", "otp": "None"}


def test_source_lines(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    code = "\n".join(
        [
            "def pay(token):",
            "    call(token=token)",
            "    password = 'espr" + "esso'",
            "    raise ValueError('x')",
            "KEY = '''-----BEGIN RSA PRIVATE " + "KEY-----",
            "doppio",
            "-----END RSA PRIVATE " + "KEY-----'''",
        ]
    )
    lines = code.split("\n")
    frame = {
        "function": "pay", "filename": "pay.py", "lineno": 4,
        "pre_context": lines[:3], "context_line": lines[3], "post_context": lines[4:],
    }  # fmt: skip
    stack = {"frames": [frame]}
    sentry_sdk.capture_event({"exception": {"values": [{"type": "E", "stacktrace": stack}]}})
    (found,) = json.loads(sentry.raw[0])["exception"]["values"][0]["stacktrace"]["frames"]
    assert found["pre_context"] == [*lines[:2], "    password = '[secret]'"]
    assert found["context_line"] == lines[3]
    assert found["post_context"] == ["KEY = '''[private_key]", "", "'''"]
    assert frame["pre_context"] == lines[:3]


def test_parameters_are_known_by_the_text_around_them(telemetry: Telemetry) -> None:
    with initialised(integrations=[LoggingIntegration()], **BARE) as kept:
        configure()
        logger = logging.getLogger("shop")
        logger.warning("breadcrumb of %s", CARD)
        logger.error("password=%s of %s", "espresso", "jane")
        logger.error("cookie: a=%s; b=c", "doppio")
    found = json.loads(kept.raw[0])
    text = sent(kept)
    assert found["logentry"]["message"] == "password=%s of %s"
    assert "espresso" not in text
    assert "doppio" not in text
    assert "jane" in text
    assert CARD not in text


# One that is made: the annotations here are mere strings.
MARK = everylayer.Sensitive("card")


@dataclasses.dataclass
class Payment:
    number: Annotated[str, everylayer.Sensitive("card")]
    reference: str


def test_values_that_the_app_has_named(telemetry: Telemetry, sentry: Kept) -> None:
    with serving(sentry="capture", local_variables=True):
        everylayer.sensitive("espresso doppio")
        sentry_sdk.add_breadcrumb(message="made espresso doppio", data={"a": ["espresso doppio"]})
        sentry_sdk.set_user({"id": "1", "username": "espresso doppio"})
        sentry_sdk.capture_exception(fails("nested variable", "no espresso doppio left"))
        everylayer.record(fails("nested variable", "no espresso doppio left"))
        sentry_sdk.capture_message("no espresso doppio")
    assert len(sentry.raw) == 3
    assert "doppio" not in sent(sentry)


def test_values_of_marked_fields(telemetry: Telemetry, sentry: Kept) -> None:
    def pay() -> None:
        payment = Payment("not-a-known-form", "A1")
        number = payment.number
        raise ValueError(f"refused {number} of {payment.reference}")

    with serving(), pytest.raises(ValueError, match="refused") as caught:
        pay()
    configure()
    sentry_sdk.capture_exception(caught.value)
    event = json.loads(sentry.raw[0])["exception"]["values"][-1]
    assert event["value"] == "refused [card] of A1"
    assert event["stacktrace"]["frames"][-1]["vars"]["number"] == "'[card]'"
    assert "not-a-known-form" not in json.dumps(event["stacktrace"]["frames"][-1]["vars"])


def test_what_comes_after_the_processor_passes_too(telemetry: Telemetry) -> None:
    def late(event: Any, hint: Any) -> Any:
        event.setdefault("extra", {})["late"] = CARD
        event["request"] = {"headers": {"cookie": "a=b", "x-api-key": "espresso"}}
        for value in event.get("exception", {}).get("values", ()):
            value["value"] += CARD
        return event

    with initialised(include_local_variables=True, attach_stacktrace=True, **BARE) as kept:
        configure()
        held = f"espresso {CARD}"
        with sentry_sdk.new_scope() as scope:
            scope.add_event_processor(late)
            sentry_sdk.capture_message(held)
            sentry_sdk.capture_exception(fails("message", CARD))
    assert "held" in kept.events[0]["threads"]["values"][0]["stacktrace"]["frames"][-1]["vars"]
    assert kept.events[0]["request"]["headers"] == {"cookie": "[Filtered]", "x-api-key": "[secret]"}
    assert CARD not in sent(kept)


def test_the_apps_own_scrubber_still_has_its_turn(telemetry: Telemetry) -> None:
    class Scrubber:
        def scrub_event(self, event: Any) -> None:
            seen.append(event["message"])
            event["extra"] = {"scrubbed": True}

    seen: list[str] = []
    own: Any = Scrubber()
    with initialised(event_scrubber=own, **BARE) as kept:
        configure()
        sentry_sdk.capture_message(f"card {CARD}")
        options = sentry_sdk.get_client().options
        assert options["event_scrubber"] is not own
        switch.detach()
        assert options["event_scrubber"] is own
    assert seen == ["card [card]"]
    assert json.loads(kept.raw[0])["extra"] == {"scrubbed": True}


def test_the_apps_objects_stay(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    given = {
        "extra": {"it": [CARD, {"password": "espresso"}]},
        "contexts": {"shop": {"it": CARD}},
        "breadcrumbs": {"values": [{**WHEN, "message": CARD, "data": {"it": CARD}}]},
        "user": {"id": "1", "data": CARD},
        "logentry": {"message": "%s", "params": [CARD]},
        "tags": {"it": CARD},
    }
    before = copy.deepcopy(given)
    with sentry_sdk.new_scope() as scope:
        scope.set_context("more", {"it": CARD})
        scope.set_extra("more", [CARD])
        scope.add_breadcrumb(message=CARD, data={"it": CARD})
        crumb = scope._breadcrumbs[-1]
        sentry_sdk.capture_event(given)
        assert scope._contexts["more"] == {"it": CARD}
        assert scope._extras["more"] == [CARD]
        assert crumb["data"] == {"it": CARD}
    for key in ("contexts", "user", "logentry", "tags", "extra"):
        for name, value in before[key].items():
            assert given[key][name] == value
    assert given["breadcrumbs"]["values"][0] == before["breadcrumbs"]["values"][0]
    assert CARD not in sent(sentry)


@pytest.mark.parametrize(("preset", "shown"), [("default", True), ("strict", False)])
def test_whom_an_app_names_on_purpose(
    telemetry: Telemetry, sentry: Kept, preset: str, shown: bool
) -> None:
    configure(redaction=preset)
    user = {"id": "a@b.example", "email": "jane@example.com", "name": "at 10.1.2.3"}
    sentry_sdk.capture_event({"message": "x", "user": {**user, "data": {"card": CARD}}})
    found = json.loads(sentry.raw[0])["user"]
    assert found.pop("data") == {"card": "[card]"}
    assert found == (user if shown else {**user, "email": "[email]", "name": "at [ip]"})


def test_a_redactor_that_fails_closes(
    telemetry: Telemetry, sentry: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise RuntimeError(CARD)

    before = own_failures().get("everylayer.redaction", 0)
    with serving(sentry="capture", local_variables=True):
        monkeypatch.setattr(Redactor, "_found", fail)
        for error in (fails("variable", CARD), fails("cause", CARD)):
            sentry_sdk.capture_exception(error)
        everylayer.record(fails("nested variable", CARD))
        for place in PLACES.values():
            sentry_sdk.capture_event(place({"a": CARD, "b": Told(CARD)}))
    text = sent(sentry)
    assert CARD not in text
    assert FAILED in text
    assert own_failures()["everylayer.redaction"] > before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_without_any_redaction_texts_are_dropped(
    telemetry: Telemetry, sentry: Kept, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    whole = redacted.redacted
    failed: list[object] = []

    def fail(*args: Any) -> Any:
        failed.append(args)
        # An interrupt is the app's: it comes once.
        if error is KeyboardInterrupt and len(failed) > 1:
            return whole(*args)
        raise error(CARD)

    configure()
    monkeypatch.setattr(redacted, "redacted", fail)
    with serving():
        sentry_sdk.set_tag("it", CARD)
        sentry_sdk.capture_exception(fails("cause", CARD))
    event = json.loads(sentry.raw[0])
    assert types(event) == ["RuntimeError", "KeyError"]
    assert {value["value"] for value in event["exception"]["values"]} == {FAILED}
    (frame,) = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert frame["function"] == "fails"
    assert "vars" not in frame
    assert set(event["contexts"]["otel"]) >= {"trace_id", "span_id"}
    assert CARD not in sent(sentry)


def test_what_cannot_be_read_is_replaced_alone(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    before = own_failures().get("everylayer.redaction", 0)
    given = {"contexts": {"bad": Hostile(), "good": {"a": 1}}, "extra": Hostile(), "message": "x"}
    sentry_sdk.capture_event(given)  # type: ignore[arg-type]
    event = json.loads(sentry.raw[0])
    assert event["contexts"]["bad"] == FAILED
    assert event["contexts"]["good"] == {"a": 1}
    assert event["message"] == "x"
    assert own_failures()["everylayer.redaction"] > before
    assert CARD not in sent(sentry)


def test_parts_of_another_form_are_read_as_data(telemetry: Telemetry, sentry: Kept) -> None:
    configure()
    assert switch.link is not None
    for part in (CARD, [CARD], {"values": CARD}, {"values": [CARD, None, 3]}, [[CARD]]):
        for key in ("exception", "threads", "breadcrumbs", "stacktrace", "logentry", "request"):
            found = switch.link.process({key: part}, {})
            assert CARD not in repr(found)


def test_cycles_and_masses_end(telemetry: Telemetry, sentry: Kept) -> None:
    cycle: dict[str, Any] = {"it": CARD}
    cycle["again"] = [cycle]
    masses = {str(n): ["x"] * 50 for n in range(2000)} | {"last": CARD}
    configure()
    sentry_sdk.capture_event({"contexts": {"shop": cycle}})
    text = sent(sentry)
    assert CARD not in text
    assert "cyclic" in text
    sentry_sdk.capture_event({"contexts": {"shop": cycle, "masses": masses}, "message": "x"})
    assert sentry.events[-1]["message"] == "x"
    text = sent(sentry)
    assert CARD not in text
    assert "[left out]" in text


@pytest.mark.parametrize("sentry_setting", ["link", "off"])
def test_switched_off_events_are_as_they_were(
    telemetry: Telemetry, sentry: Kept, sentry_setting: str
) -> None:
    off = {"redaction": "off"} if sentry_setting == "link" else {}
    configure(sentry=sentry_setting, **off)
    given = event_of({"it": [CARD, Told(CARD), "password=espresso"]})
    sentry_sdk.capture_event(copy.deepcopy(given))
    switch.detach()
    sentry_sdk.capture_event(copy.deepcopy(given))
    assert sentry.raw[0] == sentry.raw[1]
    assert CARD in sent(sentry)


def event_of(data: Any) -> dict[str, Any]:
    """Return an event with `data` in each place, its texts, and what gives it structure."""
    merged: dict[str, Any] = {}
    for place in (*PLACES.values(), TEXTS["transaction"], TEXTS["fingerprint"], TEXTS["thread"]):
        made = place(data) if place in PLACES.values() else place("GET /orders/{id}")
        for key, value in made.items():
            if isinstance(value, dict):
                merged.setdefault(key, {}).update(value)
            else:
                merged[key] = value
    frame = {"function": "f", "filename": "f.py", "lineno": 3, "context_line": "  go(token=token)"}
    stack = {"frames": [{**frame, "vars": {"a": "'b'", "n": ["1", {"c": "None"}]}}]}
    merged["exception"]["values"].append({"type": "E", "value": "not found", "stacktrace": stack})
    # Sentry makes up another one for each event.
    merged["contexts"]["trace"] = {"trace_id": 8 * CARD[:4], "span_id": "1" * 16}
    merged["logentry"] = {"message": "password=%s", "params": [data], "formatted": "x"}
    return {
        "event_id": "0" * 32,
        "timestamp": datetime(2026, 11, 21, tzinfo=timezone.utc),
        "release": CARD,
        "server_name": "db-4111",
        "modules": {"password": "1.0"},
        **merged,
    }


def loop() -> Any:
    made: list[Any] = [1]
    made.append({"again": made})
    return made


CLEAN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-99999, 99999),
        st.floats(-1000, 1000),
        st.sampled_from(["fine", "größer", "a\nb", "\ud800", "order 4111111111111112", b"bytes"]),
        st.builds(Told, st.just("espresso")),
        st.builds(OwnRepr, st.just("espresso")),
        st.builds(loop),
        st.builds(lambda: list(range(400))),
        st.just(datetime(2026, 11, 21, tzinfo=timezone.utc)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=14),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(["a", "b", "name", "monkey", "x y"]), inner),
        inner.map(lambda it: {"a": [{"b": [{"c": it}]}]}),
    ),
    max_leaves=12,
)


@budget(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=CLEAN)
def test_a_clean_event_goes_out_as_it_was(telemetry: Telemetry, sentry: Kept, data: Any) -> None:
    sentry.raw = []
    for policy in ("default", "off"):
        configure(redaction=policy)
        sentry_sdk.capture_event(event_of(data))  # type: ignore[arg-type]
    with_it, without = sentry.raw
    assert with_it == without


def test_an_ordinary_error_goes_out_as_it_was(telemetry: Telemetry, sentry: Kept) -> None:
    found = []
    for policy in ("strict", "off"):
        configure(redaction=policy)
        sentry_sdk.capture_exception(fails("cause", "no such order"))
        event = json.loads(sentry.raw[-1])
        found.append({**event, "event_id": "", "timestamp": "", "contexts": {}})
    assert found[0]["exception"] == found[1]["exception"]
    assert found[0] == found[1]


@pytest.mark.parametrize("setting", [False, True])
def test_variables_of_our_events_are_asked_for(
    telemetry: Telemetry, sentry: Kept, setting: bool
) -> None:
    with serving(sentry="capture", local_variables=setting):
        everylayer.record(fails("variable", "espresso"))
    (frame,) = sentry.events[0]["exception"]["values"][0]["stacktrace"]["frames"]
    assert ("vars" in frame) is setting
    assert ("'espresso'" in json.dumps(frame)) is setting
