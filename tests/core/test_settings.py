"""Settings: checked when made, each with its variable, arguments over configure() over both."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import everylayer
from everylayer import settings, signals
from everylayer.settings import Settings, SettingsError, resolve

FIELDS = {f.name: f for f in dataclasses.fields(Settings)}

# Field -> a value that is not the default, and how a variable writes it.
OTHER: dict[str, tuple[Any, str]] = {
    "enabled": (False, "no"),
    "client_errors": ("all", "all"),
    "ignored": (("shop.Sold", "KeyError"), " shop.Sold, KeyError ,"),
    "expected": (("shop.Late",), "shop.Late"),
    "preset": ("tempo", "tempo"),
    "max_message_bytes": (100, "100"),
    "max_stack_bytes": (300, " 300 "),
    "max_description_chars": (20, "20"),
    "max_events": (3, "3"),
    "max_span_bytes": (5000, "5000"),
    "max_batch_bytes": (4_000_000, "4000000"),
    "late_spans": (False, "0"),
    "server_span": (False, "OFF"),
    "swallowed": ("monitor", "monitor"),
    "snapshot_token": ("0123456789abcdef", "0123456789abcdef"),
    "chaos": ("chaos.toml", "chaos.toml"),
    "sentry": ("capture", "capture"),
    "trace_url": ("https://t/{trace_id}/{span_id}", " https://t/{trace_id}/{span_id}"),
    "sentry_url": ("https://s/{event_id}", "https://s/{event_id}"),
    "detached": ("record", "record"),
    "redaction": ("strict", "strict"),
    "local_variables": (True, "yes"),
    "error_context": ("send", "send"),
    "error_context_header": ("x-origin", "x-origin"),
    "trusted_peers": (("10.0.0.0/8", "shop.mesh:is_peer"), "10.0.0.0/8, shop.mesh:is_peer"),
    "baggage_keys": (("app.tenant.id",), "app.tenant.id"),
    "tenant": ("header", "header"),
    "tenant_header": ("X-Customer", "X-Customer"),
    "tenant_resolver": ("shop.tenants:of", " shop.tenants:of "),
    "tenant_baggage": ("app.tenant", "app.tenant"),
    "tenant_shards": (256, "256"),
    "tenant_map": ("tenants.json", "tenants.json"),
    "max_tenants": (5, "5"),
    "metrics": (False, "off"),
}
# Before Python 3.12 the monitor can only be off.
FREE = [name for name in FIELDS if name != "swallowed" or sys.version_info >= (3, 12)]
SMALLEST = {
    "max_message_bytes": 64,
    "max_stack_bytes": 256,
    "max_description_chars": 16,
    "max_events": 1,
    "max_span_bytes": 4096,
    "max_batch_bytes": 2_097_152,
    "max_tenants": 1,
    "tenant_shards": 2,
}
SECRET = {"snapshot_token"}
WRONG: dict[type, tuple[Any, ...]] = {
    bool: (1, "true", None),
    int: (True, "8", 1.5, None),
    str: (1, None, ("default",)),
    tuple: ("KeyError", (1,), None, {"KeyError"}),
}


def test_every_field_is_covered_and_says_what_it_is_for() -> None:
    assert OTHER.keys() == FIELDS.keys()
    assert all(f.metadata["help"] for f in FIELDS.values())


@pytest.mark.parametrize("name", FREE)
def test_a_field_has_its_variable(name: str) -> None:
    value, written = OTHER[name]
    assert getattr(Settings(), name) != value
    assert getattr(resolve(environ={f"EVERYLAYER_{name.upper()}": written}), name) == value
    assert getattr(resolve({name: value}, environ={}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, f in FIELDS.items() for value in WRONG[type(f.default)]],
)
def test_a_wrong_type_names_setting_value_and_remedy(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as found:
        Settings(**{name: value})
    shown = f"a {type(value).__name__} that is not shown" if name in SECRET else repr(value)
    assert f"setting {name} is {shown}; it must be " in str(found.value)


@pytest.mark.parametrize("name", ["preset", "client_errors"])
def test_a_wrong_choice_lists_the_right_ones(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 'most'; it must be one of .*default|layer"):
        Settings(**{name: "most"})


@pytest.mark.parametrize(("name", "least"), SMALLEST.items())
def test_a_budget_has_a_floor(name: str, least: int) -> None:
    assert getattr(Settings(**{name: least}), name) == least
    with pytest.raises(SettingsError, match=f"{name} is {least - 1}; it must be at least {least}"):
        Settings(**{name: least - 1})


def test_a_token_that_can_be_guessed_is_refused_and_none_is_shown() -> None:
    with pytest.raises(SettingsError, match="at least 16 characters long") as found:
        resolve(environ={"EVERYLAYER_SNAPSHOT_TOKEN": "hush-hush-hush-"})
    assert "hush" not in str(found.value)
    assert "hush" not in repr(Settings(snapshot_token="hush-hush-hush-!"))


def test_where_the_process_runs_is_no_setting() -> None:
    assert resolve(environ={"EVERYLAYER_CHAOS_ENVIRONMENT": "staging"}) == Settings()
    with pytest.raises(SettingsError, match="does not know the setting 'chaos_environment'"):
        resolve({"chaos_environment": "staging"})


@pytest.mark.parametrize("name", ["ignored", "expected"])
def test_a_list_is_as_good_as_a_tuple(name: str) -> None:
    assert getattr(Settings(**{name: ["KeyError"]}), name) == ("KeyError",)
    assert getattr(resolve({name: ["KeyError"]}), name) == ("KeyError",)
    assert getattr(everylayer.configure(**{name: ["KeyError"]}), name) == ("KeyError",)
    assert hash(settings.current())


@pytest.mark.parametrize(
    ("variable", "text", "wanted"),
    [
        ("EVERYLAYER_ENABLED", "maybe", "true or false"),
        ("EVERYLAYER_MAX_EVENTS", "many", "a whole number"),
        ("EVERYLAYER_MAX_EVENTS", "1.5", "a whole number"),
        ("EVERYLAYER_MAX_EVENTS", "-7", "at least 1"),
        ("EVERYLAYER_PRESET", "tiny", "one of default, tempo"),
        ("EVERYLAYER_CLIENT_ERRORS", "some", "one of layers, all, none"),
    ],
)
def test_a_bad_variable_is_named(variable: str, text: str, wanted: str) -> None:
    with pytest.raises(SettingsError) as found:
        resolve(environ={variable: text})
    assert f"it must be {wanted}" in str(found.value)
    assert variable.removeprefix("EVERYLAYER_").lower() in str(found.value).lower()
    assert text in str(found.value)


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_variable_is_as_good_as_none(name: str) -> None:
    assert resolve(environ={f"EVERYLAYER_{name.upper()}": " "}) == Settings()


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [("max_event", "max_events"), ("client_error", "client_errors"), ("zzz", None)],
)
def test_an_unknown_name_gets_a_hint(given_name: str, meant: str | None) -> None:
    variable = f"EVERYLAYER_{given_name.upper()}"
    for attempt in (
        lambda: resolve({given_name: 1}),
        lambda: everylayer.configure(**{given_name: 1}),
        lambda: resolve(environ={variable: "1"}),
    ):
        with pytest.raises(SettingsError) as found:
            attempt()
        assert ("Did you mean" in str(found.value)) is (meant is not None)
        assert meant is None or f"Did you mean {meant!r}?" in str(found.value)
        assert "Known settings: enabled, client_errors" in str(found.value)
    assert variable in str(found.value)


@pytest.mark.parametrize("text", ["1", "TRUE", " yes ", "on"])
def test_the_words_for_true(text: str) -> None:
    assert resolve(environ={"EVERYLAYER_ENABLED": text}).enabled


def test_other_variables_are_nobodys_business() -> None:
    assert resolve(environ={"EVERYLAYERED": "1", "OTEL_X": "1"}) == Settings()


def test_arguments_win_over_configure_and_configure_over_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MAX_EVENTS", "MAX_MESSAGE_BYTES", "MAX_DESCRIPTION_CHARS"):
        monkeypatch.setenv(f"EVERYLAYER_{name}", "101")
    everylayer.configure(max_message_bytes=102, max_description_chars=102)
    found = resolve({"max_description_chars": 103})
    assert found.max_events == 101
    assert found.max_message_bytes == 102
    assert found.max_description_chars == 103


def test_configure_adds_to_what_was_configured() -> None:
    everylayer.configure(max_events=3)
    assert everylayer.configure(max_stack_bytes=1000).max_events == 3
    assert settings.current() == Settings(max_events=3, max_stack_bytes=1000)


def test_a_refused_configure_changes_nothing() -> None:
    everylayer.configure(max_events=3)
    with pytest.raises(SettingsError):
        everylayer.configure(max_events=0, max_stack_bytes=1000)
    assert settings.current() == Settings(max_events=3)


def test_current_is_read_once_and_anew_after_configure(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.current()
    monkeypatch.setenv("EVERYLAYER_MAX_EVENTS", "5")
    assert settings.current() is before
    everylayer.configure(max_stack_bytes=1000)
    assert settings.current().max_events == 5
    settings.reset()
    assert settings.current() == Settings(max_events=5)


def test_a_preset_gives_way_to_an_explicit_budget() -> None:
    tempo = resolve({"preset": "tempo"})
    assert (tempo.max_message_bytes, tempo.max_stack_bytes) == (2048, 2048)
    assert resolve({"preset": "tempo", "max_stack_bytes": 1000}).max_stack_bytes == 1000
    environ = {"EVERYLAYER_PRESET": "tempo", "EVERYLAYER_MAX_MESSAGE_BYTES": "999"}
    assert resolve(environ=environ).max_message_bytes == 999
    with pytest.raises(SettingsError, match="preset"):
        resolve({"preset": ["tempo"]})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().enabled = False  # type: ignore[misc]


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=30), max_size=3))
def test_only_a_settings_error_comes_out_of_strange_variables(environ: dict[str, str]) -> None:
    with contextlib.suppress(SettingsError):
        resolve(environ={f"EVERYLAYER_{k}": v for k, v in environ.items()})


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=30))
def test_only_a_settings_error_comes_out_of_a_strange_value(name: str, text: str) -> None:
    with contextlib.suppress(SettingsError):
        found = resolve(environ={f"EVERYLAYER_{name.upper()}": text})
        assert isinstance(getattr(found, name), type(FIELDS[name].default))


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        (None, (True, False)),
        ("", (True, False)),
        ("logs", (False, True)),
        ("logs/dup", (True, True)),
        ("http,logs", (False, True)),
        (" logs/dup , http", (True, True)),
        ("logs,logs/dup", (True, True)),
        ("LOGGING", (True, False)),
        ("garbage", (True, False)),
    ],
)
def test_signal_opt_in(value: str | None, asked: tuple[bool, bool]) -> None:
    environ = {} if value is None else {"OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": value}
    assert signals.wanted(environ) == asked


def test_an_unknown_signal_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    signals._signals.cache_clear()
    for _ in range(3):
        signals.wanted({"OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "events"})
    assert caplog.text.count("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN is 'events'") == 1
