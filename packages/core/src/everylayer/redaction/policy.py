"""What is redacted and how: a preset, a value in code, or a TOML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..settings import SettingsError
from . import pairs, rules, user_patterns
from .actions import ACTIONS, Action, action
from .keys import KeyProvider, from_environment, from_file
from .redactor import Finding, Redactor, plain

# Names that actions are given for besides those of the rules.
SENSITIVE = "sensitive"
OFF = "off"


@dataclass(frozen=True, eq=False)
class Redaction:
    """A policy; checked when made.

    Attributes:
        preset: `default`, `strict` or `finance`: what the rest adds to and changes.
        actions: rule or pattern -> `mask`, `drop`, `hash`, `tokenise`, `tokenise-same`, or
            `off`; `sensitive` is for values that the app marks, `*` for all that are not named.
        national_ids: opt-in rules: `us_ssn`, `uk_nino`, `es_dni`, `fr_nir`, `it_cf`.
        patterns: name -> regular expression of your own; a group `value` is what is replaced.
        names: further names whose values are sensitive, plain words.
        allow: values that are left alone: those of accounts that exist for debugging.
        keys: what hashes and tokens are made with.

    Raises:
        SettingsError: for anything that is unknown, of a wrong type, or cannot be used.
    """

    preset: str = "default"
    actions: Mapping[str, str] = field(default_factory=dict)
    national_ids: Sequence[str] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    allow: Sequence[str] = ()
    keys: KeyProvider | None = None
    redactor: Redactor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_types(self)
        preset = _PRESETS.get(self.preset)
        if preset is None:
            raise _bad("preset", self.preset, f"one of {', '.join(_PRESETS)}")
        for name in self.national_ids:
            if name not in rules.NATIONAL:
                raise _bad("national_ids", name, f"of {', '.join(rules.NATIONAL)}")
        known = {*rules.NAMES, *self.patterns, SENSITIVE, "*"}
        for name in self.actions:
            if name not in known:
                raise _bad("actions", name, f"for one of {', '.join(sorted(known))}")
        for name in self.patterns:
            if name in (*rules.NAMES, SENSITIVE, "*"):
                raise _bad("patterns", name, "a name that no rule has")
        object.__setattr__(self, "redactor", self._redactor(preset))

    def dry_run(self, text: str) -> list[Finding]:
        """Return what would be replaced in `text`, by which rule, and by what."""
        return self.redactor.find(text)

    def _redactor(self, preset: _Preset) -> Redactor:
        chosen = {**preset.actions, **self.actions}
        every = self.actions.get("*")
        wanted = {*preset.rules, *self.national_ids, *self.actions}
        off = {name for name, done in chosen.items() if done == OFF}
        built = rules.built_in(wanted - off, [*preset.names, *map(_as_words, self.names)])
        own = [
            rules.Rule(name, name, user_patterns.compiled(name, pattern))
            for name, pattern in self.patterns.items()
            if name not in off
        ]
        actions: dict[str, Action] = {}
        for name in [*(rule.name for rule in (*own, *built)), SENSITIVE]:
            done = self.actions.get(name) or every or preset.actions.get(name, "mask")
            if done not in (*ACTIONS, OFF):
                raise _bad(f"action of {name!r}", done, f"one of {', '.join((*ACTIONS, OFF))}")
            actions[name] = action("mask" if done == OFF else done, self.keys)
        allowed = frozenset(map(plain, self.allow))
        return Redactor([*own, *built], actions, allowed, always=bool(own), strict=preset.users)


@dataclass(frozen=True)
class _Preset:
    rules: tuple[str, ...]
    names: tuple[str, ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    users: bool = False


_PRESETS: Mapping[str, _Preset] = {
    "default": _Preset(rules.DEFAULT),
    "strict": _Preset(rules.NAMES, pairs.FINANCE, users=True),
    # Equal numbers show as equal, so that what belongs together is found.
    "finance": _Preset(
        (*rules.DEFAULT, *rules.NATIONAL), pairs.FINANCE, {"card": "hash", "iban": "hash"}
    ),
}

PRESETS = tuple(_PRESETS)


def load(path: str) -> Redaction:
    """Return the policy in a TOML file: see docs/redaction.md.

    Raises:
        SettingsError: it cannot be read, or holds what no policy has.
    """
    where = f"everylayer redaction file {path}"
    try:
        with open(path, "rb") as file:
            found = _parse(file.read().decode("utf-8"), where)
    except (OSError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"{where} cannot be used: {error}.") from None
    keys = found.pop("keys", None)
    fields = ("preset", "actions", "national_ids", "patterns", "names", "allow")
    for name in found:
        if name not in fields:
            raise SettingsError(
                f"{where}: there is no {name!r:.100}; known are {', '.join((*fields, 'keys'))}."
            )
    try:
        return Redaction(**found, keys=_keys(keys))
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None


def _parse(text: str, where: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise SettingsError(
                f"{where}: before Python 3.11 TOML needs the package tomli; install "
                "everylayer[redaction]."
            ) from None
    return tomllib.loads(text)


def _keys(given: Any) -> KeyProvider | None:
    if given is None:
        return None
    if isinstance(given, dict) and len(given) == 1:
        if isinstance(variable := given.get("environment"), str):
            return from_environment(variable)
        if isinstance(path := given.get("file"), str):
            return from_file(path)
    raise _bad("keys", "this table", "`environment = NAME` or `file = PATH`")


def _as_words(name: str) -> str:
    import re

    return r"[_-]?".join(re.escape(word) for word in re.split("[ _-]+", name) if word)


def _check_types(policy: Redaction) -> None:
    for name in ("actions", "patterns"):
        given = getattr(policy, name)
        if not isinstance(given, Mapping) or not all(
            isinstance(each, str) for pair in given.items() for each in pair
        ):
            raise _bad(name, given, "a table of strings")
    for name in ("national_ids", "names", "allow"):
        given = getattr(policy, name)
        if isinstance(given, str) or not (
            isinstance(given, Sequence) and all(isinstance(each, str) and each for each in given)
        ):
            raise _bad(name, given, "a list of strings")
    if policy.keys is not None and not isinstance(policy.keys, KeyProvider):
        raise _bad("keys", type(policy.keys), "an object with `current()` and `get(key_id)`")
    if not isinstance(policy.preset, str):
        raise _bad("preset", policy.preset, "a string")


def _bad(name: str, value: object, wanted: str) -> SettingsError:
    return SettingsError(f"everylayer redaction: {name} is {value!r:.200}; it must be {wanted}.")
