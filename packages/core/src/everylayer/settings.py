"""Every knob, checked at start-up: arguments over `configure()` over `EVERYLAYER_*`."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from .redaction import Redaction

ClientErrors = Literal["layers", "all", "none"]
Preset = Literal["default", "tempo"]

_logger = logging.getLogger("everylayer")

ENV_PREFIX = "EVERYLAYER_"
_SIGNAL_OPT_IN = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"

# Tempo keeps the first 2,048 bytes of an attribute and drops the rest.
_PRESETS: Mapping[str, Mapping[str, int]] = {
    "default": {},
    "tempo": {"max_message_bytes": 2048, "max_stack_bytes": 2048},
}


class SettingsError(ValueError):
    """A setting that cannot be used: unknown, of the wrong type, or out of range."""


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Settings:
    """What to record and how much of it; immutable, checked when made.

    Each field `name` is also the variable `EVERYLAYER_NAME`; lists are comma separated.

    Raises:
        SettingsError: naming the setting, the value and the remedy.
    """

    enabled: bool = _setting(True, "record errors at all")
    client_errors: ClientErrors = _setting(
        "layers", "4xx exceptions: of middleware and hooks only, of views too, or never"
    )
    ignored: tuple[str, ...] = _setting((), "exception classes that are never recorded")
    expected: tuple[str, ...] = _setting((), "exception classes recorded, but never as ERROR")
    preset: Preset = _setting("default", "byte budgets that suit a back end")
    max_message_bytes: int = _setting(4096, "budget of exception.message, bytes")
    max_stack_bytes: int = _setting(16384, "budget of exception.stacktrace, bytes")
    max_description_chars: int = _setting(512, "budget of the status description, characters")
    max_events: int = _setting(8, "exception events a span; the rest is counted")
    late_spans: bool = _setting(True, "put errors after the span's end on a child span")
    server_span: bool = _setting(True, "start a server span where nothing else does")
    redaction: str | Redaction = _setting(
        "default", "secrets in errors: default, strict, finance, off, or a TOML file's path"
    )

    def __post_init__(self) -> None:
        from .redaction import guard

        for f in dataclasses.fields(self):
            if isinstance(getattr(self, f.name), list):
                object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
            _check(f.name, getattr(self, f.name), _KINDS[f.name])
        if self.preset not in get_args(Preset):
            raise _bad("preset", self.preset, f"one of {_listed(get_args(Preset))}")
        if self.client_errors not in get_args(ClientErrors):
            raise _bad(
                "client_errors", self.client_errors, f"one of {_listed(get_args(ClientErrors))}"
            )
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise _bad(name, getattr(self, name), f"at least {least}")
        guard.redactor_of(self.redaction)


_KINDS: Mapping[str, type] = {f.name: type(f.default) for f in dataclasses.fields(Settings)}
_LEAST = {
    "max_message_bytes": 64,
    "max_stack_bytes": 256,
    "max_description_chars": 16,
    "max_events": 1,
}

_configured: dict[str, Any] = {}


def configure(**values: Any) -> Settings:
    """Set process-wide settings, over the `EVERYLAYER_*` variables.

    Call it before the app is built: a layer reads its settings when it is made.

    Raises:
        SettingsError: for an unknown name or a value that does not fit.
    """
    resolved = resolve(values)
    _configured.update(values)
    current.cache_clear()
    return resolved


def reset() -> None:
    """Forget what `configure()` set, and read the environment anew, and the policy's file."""
    from .redaction import guard

    guard.forget()
    _configured.clear()
    current.cache_clear()
    _signals_of_the_process.cache_clear()


@functools.cache
def current() -> Settings:
    """Return the process-wide settings: `configure()`, then the environment as first read."""
    return resolve()


def resolve(
    overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings in force: `overrides`, then `configure()`, then the environment.

    Raises:
        SettingsError: for an unknown name, variable or value.
    """
    given = {
        **_from_environment(os.environ if environ is None else environ),
        **_configured,
        **(overrides or {}),
    }
    for name in given:
        if name not in _KINDS:
            raise _unknown(name)
    preset = given.get("preset", "default")
    budgets = _PRESETS.get(preset, {}) if isinstance(preset, str) else {}
    return Settings(**{**budgets, **given})


def signals(environ: Mapping[str, str] | None = None) -> tuple[bool, bool]:
    """Return (span events, log events) as `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` asks.

    Source: semantic-conventions docs/exceptions/README.md; other values count as unset.
    """
    if environ is None:
        return _signals_of_the_process()
    return _signals(environ.get(_SIGNAL_OPT_IN, ""))


@functools.cache
def _signals_of_the_process() -> tuple[bool, bool]:
    return _signals(os.environ.get(_SIGNAL_OPT_IN, ""))


@functools.lru_cache(maxsize=8)
def _signals(value: str) -> tuple[bool, bool]:
    wanted = {part.strip() for part in value.split(",")} - {""}
    if "logs/dup" in wanted:
        return True, True
    if "logs" in wanted:
        return False, True
    if wanted:
        _logger.warning(
            "%s is %r; everylayer knows logs and logs/dup, and writes span events as if it were "
            "unset",
            _SIGNAL_OPT_IN,
            value,
        )
    return True, False


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX):
            continue
        name = variable[len(ENV_PREFIX) :].lower()
        if name not in _KINDS:
            raise _unknown(name, variable)
        # As for every OTEL_* variable: an empty one is as good as none.
        if text.strip():
            found[name] = _parse(variable, text.strip(), _KINDS[name])
    return found


def _parse(variable: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise _bad(variable, text, "true or false")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise _bad(variable, text, "a whole number") from None
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


_EXPECTED: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    str: "a string",
    tuple: "a list of dotted class names, such as 'shop.errors.OutOfStock'",
}


def _check(name: str, value: object, kind: type) -> None:
    fits: Callable[[], bool] = {
        bool: lambda: isinstance(value, bool),
        int: lambda: isinstance(value, int) and not isinstance(value, bool),
        str: lambda: isinstance(value, str) or (name == "redaction" and _is_policy(value)),
        tuple: lambda: isinstance(value, tuple) and all(isinstance(v, str) for v in value),
    }[kind]
    if not fits():
        raise _bad(name, value, _EXPECTED[kind])


def _is_policy(value: object) -> bool:
    from .redaction import Redaction

    return isinstance(value, Redaction)


def _bad(name: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(f"everylayer setting {name} is {value!r:.200}; it must be {wanted}.")


def _unknown(name: str, variable: str = "") -> SettingsError:
    import difflib

    close = difflib.get_close_matches(name, _KINDS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    where = f"variable {variable}" if variable else f"{name!r}"
    return SettingsError(
        f"everylayer does not know the setting {where}.{hint} Known settings: {_listed(_KINDS)}."
    )


def _listed(names: Any) -> str:
    return ", ".join(names)
