"""Every knob, checked at start-up: arguments over `configure()` over `EVERYLAYER_*`."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from . import choices
from .presets import Preset, budgets

if TYPE_CHECKING:
    from .redaction import Redaction

ENV_PREFIX = "EVERYLAYER_"


_NEEDED_FOR = "as only its sys.monitoring tells what a layer handles by itself"


class SettingsError(ValueError):
    """A setting that cannot be used: unknown, of the wrong type, or out of range."""


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


def _secret(help_text: str) -> Any:
    return field(default="", repr=False, metadata={"help": help_text, "secret": True})


@dataclass(frozen=True)
class Settings:
    """What to record and how much of it; immutable, checked when made.

    Each field `name` is also the variable `EVERYLAYER_NAME`; lists are comma separated.

    Raises:
        SettingsError: naming the setting, the value and the remedy.
    """

    enabled: bool = _setting(True, "record errors at all")
    client_errors: choices.ClientErrors = _setting(
        "layers", "4xx exceptions: of `layers` and hooks only, of views too (`all`), or `none`"
    )
    ignored: tuple[str, ...] = _setting(
        (), "exception classes that are never recorded, as dotted names"
    )
    expected: tuple[str, ...] = _setting(
        (), "exception classes that are recorded, but never as ERROR"
    )
    preset: Preset = _setting("default", "budgets that suit a back end")
    max_message_bytes: int = _setting(4096, "budget of `exception.message`")
    max_stack_bytes: int = _setting(16384, "budget of `exception.stacktrace`")
    max_description_chars: int = _setting(512, "budget of the span status's description")
    max_events: int = _setting(
        8, "exception events a span; the rest is counted in `everylayer.exceptions.dropped`"
    )
    max_span_bytes: int = _setting(65_536, "what the exception events of a span may take together")
    max_batch_bytes: int = _setting(
        3_145_728, "what those of 512 failing spans may: in a storm later errors are shorter"
    )
    late_spans: bool = _setting(True, "errors after the span's end on a child span")
    server_span: bool = _setting(True, "make a server span where nothing else does")
    swallowed: choices.Swallowed = _setting(
        "off", "`monitor`: also what a layer raises and handles by itself; Python 3.12 and newer"
    )
    snapshot_token: str = _secret(
        "what a request for a snapshot must bear, at least 16 characters; empty: none is given"
    )
    chaos: str = _setting(
        "", "the plan of faults to put: a TOML or JSON file; needs `EVERYLAYER_CHAOS_ENVIRONMENT`"
    )
    sentry: choices.Sentry = _setting(
        "link", "`link` Sentry's events and spans, `capture` what Sentry misses as well, or `off`"
    )
    trace_url: str = _setting(
        "", "link to a trace, put into Sentry's events: a URL with `{trace_id}`, `{span_id}`"
    )
    sentry_url: str = _setting(
        "", "link to a Sentry event, put on the span: a URL with `{event_id}`, `{trace_id}`"
    )
    detached: choices.Detached = _setting(
        "off", "`record`: also what threads, futures and tasks raise that a request forgets"
    )
    redaction: str | Redaction = _setting(
        "default", "secrets in errors: `default`, `strict`, `finance`, `off`, or a TOML file's path"
    )
    local_variables: bool = _setting(
        False, "local variables of the app's own frames on the event, redacted and bounded"
    )
    error_context: choices.ErrorContext = _setting(
        "off", "tell the caller of a 5xx where it began: `trusted` peers, or `send` to everybody"
    )
    error_context_header: str = _setting("x-error-context", "the response header that tells it")
    trusted_peers: tuple[str, ...] = _setting(
        (),
        "whose claims count: networks (`10.0.0.0/8`), certificates (`x509:CN=billing`, "
        "`spiffe://shop.example/*`), functions (`shop.mesh:is_peer`)",
    )
    baggage_keys: tuple[str, ...] = _setting(
        (),
        "keys of baggage that `everylayer.Propagator` takes in and sends on, or `app.*`",
    )
    tenant: choices.Tenant = _setting(
        "off", "whose request it is: told by a `header`, or by a function (`resolver`)"
    )
    tenant_header: str = _setting("x-tenant-id", "the header that names the tenant")
    tenant_resolver: str | Callable[..., Any] = _setting(
        "", "the function that tells the tenant of a request: `package.module:function`"
    )
    tenant_baggage: str = _setting(
        "", "key of baggage under which the tenant goes on; empty: it does not"
    )
    tenant_shards: int = _setting(
        4096, "shards of span ids by tenant, a power of two, 65536 at most"
    )
    tenant_map: str = _setting("", "known tenants, and their shards: a JSON file")
    metrics: bool = _setting(
        True, "count errors, requests and what became of both into the app's `MeterProvider`"
    )
    max_tenants: int = _setting(
        200, "tenants that `everylayer.tenant_label()` tells apart in metrics; the rest is `other`"
    )

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            if isinstance(getattr(self, f.name), list):
                object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
            _check(f.name, getattr(self, f.name), _KINDS[f.name])
        _check_words(self)
        _check_numbers(self)
        features.check(self)


class Features:
    """What settings switch on: nothing, until `startup` has put what there is in `features`."""

    def check(self, made: Settings) -> None:
        """Raise SettingsError for a value that a feature cannot use."""

    def start(self, made: Settings, given: Mapping[str, Any]) -> None:
        """Start what `made` asks for, of which `given` was written down by somebody."""

    def changed(self, values: Mapping[str, Any]) -> None:
        """Stop what `configure(**values)` no longer wants."""

    def forget(self) -> None:
        """Stop everything, and keep nothing of what was read."""


features: Features = Features()

_KINDS: Mapping[str, type] = {f.name: type(f.default) for f in dataclasses.fields(Settings)}
LEAST = {
    "max_message_bytes": 64,
    "max_stack_bytes": 256,
    "max_description_chars": 16,
    "max_events": 1,
    "max_span_bytes": 4096,
    "max_batch_bytes": 2_097_152,
    "max_tenants": 1,
    "tenant_shards": 2,
}
_MOST_SHARDS = 65536

# A guess must be hopeless.
_LEAST_TOKEN = 16
_SECRET = {f.name for f in dataclasses.fields(Settings) if f.metadata.get("secret")}
# No setting: only who starts the process can say it, see `chaos/permit.py`.
_NO_SETTING = {"EVERYLAYER_CHAOS_ENVIRONMENT"}
_TEMPLATES = {"trace_url": ("trace_id", "span_id"), "sentry_url": ("event_id", "trace_id")}

# As HTTP/2 wants it; RFC 9110, section 5.6.2.
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")

_configured: dict[str, Any] = {}


def configure(**values: Any) -> Settings:
    """Set process-wide settings, over the `EVERYLAYER_*` variables.

    Call it before the app is built: a layer reads its settings when it is made.

    Raises:
        SettingsError: for an unknown name or a value that does not fit.
    """
    resolved = resolve(values)
    features.changed(values)
    _configured.update(values)
    current.cache_clear()
    return resolved


def reset() -> None:
    """Forget what `configure()` set, and read the environment anew, and the policy's file."""
    features.forget()
    _configured.clear()
    current.cache_clear()


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
    made = Settings(**{**budgets(given.get("preset")), **given})
    features.start(made, given)
    return made


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in _NO_SETTING:
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
        raise unfit(variable, text, "true or false")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise unfit(variable, text, "a whole number") from None
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _check_words(made: Settings) -> None:
    for name, known in choices.CHOICES.items():
        if getattr(made, name) not in get_args(known):
            raise unfit(name, getattr(made, name), f"one of {listed(get_args(known))}")
    for name, fields in _TEMPLATES.items():
        _check_template(name, getattr(made, name), fields)
    if made.swallowed == "monitor" and sys.version_info < (3, 12):
        raise unfit("swallowed", made.swallowed, f"off, or Python 3.12 or newer, {_NEEDED_FOR}")
    if 0 < len(made.snapshot_token) < _LEAST_TOKEN:
        wanted = f"at least {_LEAST_TOKEN} characters long, or empty to give no snapshots"
        raise unfit("snapshot_token", made.snapshot_token, wanted)
    if not _HEADER.fullmatch(made.error_context_header):
        wanted = "the name of a header, in lower case"
        raise unfit("error_context_header", made.error_context_header, wanted)


def _check_numbers(made: Settings) -> None:
    for name, least in LEAST.items():
        if getattr(made, name) < least:
            raise unfit(name, getattr(made, name), f"at least {least}")
    shards = made.tenant_shards
    if shards & (shards - 1) or shards > _MOST_SHARDS:
        raise unfit("tenant_shards", shards, f"a power of two, {_MOST_SHARDS} at most")


def _check_template(name: str, value: str, fields: tuple[str, ...]) -> None:
    rest = value
    for known in fields:
        rest = rest.replace(f"{{{known}}}", "")
    if value and ("{" in rest or "}" in rest or "://" not in value):
        listed = " and ".join(f"{{{known}}}" for known in fields)
        raise unfit(name, value, f"a URL, which may hold {listed}")


_EXPECTED: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    str: "a string",
    tuple: "a list of strings, such as 'shop.errors.OutOfStock', the dotted name of a class",
}


def _check(name: str, value: object, kind: type) -> None:
    fits: Callable[[], bool] = {
        bool: lambda: isinstance(value, bool),
        int: lambda: isinstance(value, int) and not isinstance(value, bool),
        str: lambda: (
            isinstance(value, str)
            # A policy; `check` knows one.
            or name == "redaction"
            or (name == "tenant_resolver" and callable(value))
        ),
        tuple: lambda: isinstance(value, tuple) and all(isinstance(v, str) for v in value),
    }[kind]
    if not fits():
        raise unfit(name, value, _EXPECTED[kind])


def unfit(name: str, value: object, wanted: str) -> SettingsError:
    """Return the error for a `value` that the setting `name` must not have."""
    shown = f"a {type(value).__name__} that is not shown" if name in _SECRET else f"{value!r:.200}"
    return SettingsError(f"everylayer setting {name} is {shown}; it must be {wanted}.")


def _unknown(name: str, variable: str = "") -> SettingsError:
    import difflib

    close = difflib.get_close_matches(name, _KINDS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    where = f"variable {variable}" if variable else f"{name!r}"
    return SettingsError(
        f"everylayer does not know the setting {where}.{hint} Known settings: {listed(_KINDS)}."
    )


def listed(names: Any) -> str:
    return ", ".join(names)
