"""A plan of faults, from code or from a file, checked when it is made."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ..audit.model import Phase
from .errors import PlanError, error_class

_PREFIX = re.compile(r"[0-9a-f]{0,32}")
_PHASES = (*get_args(Phase), "*")


@dataclass(frozen=True)
class Rule:
    """Which requests fail, where, and how.

    Attributes:
        layer: glob for names or ids of layers, as `everylayer chain` shows them.
        phase: `before` or `after` the layers inside, `stream`, `teardown`, `background`; `*` for
            each that the layer has.
        probability: the share of the requests that fail, of those that `trace_id` and `modulus`
            leave; the same trace id always fares alike.
        trace_id: what the trace id begins with, in hexadecimal.
        modulus: `(n, r)`: the trace id as a number leaves `r` when divided by `n`.
        error: dotted name of the class to raise, `ChaosError` if empty.
        status: of the response that it should lead to, None for whatever the app makes of it.

    Raises:
        PlanError: naming the field, its value and the remedy.
    """

    layer: str = "*"
    phase: str = "before"
    probability: float = 1.0
    trace_id: str = ""
    modulus: tuple[int, int] | None = None
    error: str = ""
    status: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.modulus, list):
            object.__setattr__(self, "modulus", tuple(self.modulus))
        for name, wanted, fits in (
            ("layer", "a glob such as '*Auth*'", isinstance(self.layer, str) and self.layer),
            ("phase", f"one of {', '.join(_PHASES)}", self.phase in _PHASES),
            ("probability", "a number from 0 to 1", _is_share(self.probability)),
            ("trace_id", "up to 32 lower-case hexadecimal digits", _is_prefix(self.trace_id)),
            ("modulus", "two whole numbers n > r >= 0", _is_modulus(self.modulus)),
            ("error", "the dotted name of an exception class", isinstance(self.error, str)),
            ("status", "a response's status, 400 to 599", _is_status(self.status)),
        ):
            if not fits:
                raise _bad(name, getattr(self, name), wanted)
        error_class(self.error)


@dataclass(frozen=True)
class Chaos:
    """A plan.

    Attributes:
        rules: the first one that chooses a trace puts its fault, and no other one does.
        seed: another one lets other trace ids fail, where it is for `probability` to say.
        journal: path of a file of JSON lines to which each fault that was put is added.
    """

    rules: tuple[Rule, ...] = ()
    seed: str = ""
    journal: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.rules, list):
            object.__setattr__(self, "rules", tuple(self.rules))
        if not self.rules or not all(isinstance(rule, Rule) for rule in self.rules):
            raise _bad("rules", self.rules, "one Rule at least")
        for name in ("seed", "journal"):
            if not isinstance(getattr(self, name), str):
                raise _bad(name, getattr(self, name), "a string")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Chaos:
        """Return the plan that a file's content describes.

        Raises:
            PlanError: naming what does not fit.
        """
        given = dict(_known(cls, data, "the plan"))
        rules = given.get("rules", ())
        if not isinstance(rules, (list, tuple)):
            raise _bad("rules", rules, "a list of rules")
        made = []
        for number, rule in enumerate(rules, 1):
            if not isinstance(rule, Mapping):
                raise _bad(f"rule {number}", rule, "a table of fields")
            try:
                made.append(Rule(**_known(Rule, rule, "a rule")))
            except PlanError as error:
                raise PlanError(f"Rule {number}: {error}") from None
        return cls(**{**given, "rules": tuple(made)})

    @classmethod
    def load(cls, path: str | Path) -> Chaos:
        """Return the plan in a TOML or JSON file, told apart by the end of its name.

        Raises:
            PlanError: naming the file and what is wrong with it.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
            data = json.loads(text) if file.suffix == ".json" else _toml(text)
        except (OSError, ValueError) as error:
            raise PlanError(f"The plan {str(path)!r} cannot be read: {error}") from None
        if not isinstance(data, Mapping):
            raise PlanError(f"The plan {str(path)!r} is no table of fields.")
        try:
            return cls.of(data)
        except PlanError as error:
            raise PlanError(f"The plan {str(path)!r} cannot be used. {error}") from None


def _toml(text: str) -> Any:
    if sys.version_info < (3, 11):
        raise PlanError("Python 3.10 reads no TOML; write it as JSON")
    import tomllib

    return tomllib.loads(text)


def _known(cls: type[Any], data: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    names = [field.name for field in dataclasses.fields(cls)]
    for name in data:
        if name not in names:
            raise PlanError(f"{what} has no field {name!r}; it has {', '.join(names)}.")
    return data


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and _PREFIX.fullmatch(value) is not None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_modulus(value: object) -> bool:
    if value is None:
        return True
    if not (isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value))):
        return False
    return bool(0 <= value[1] < value[0])


def _is_status(value: object) -> bool:
    return value is None or (isinstance(value, int) and 400 <= value <= 599)


def _bad(name: str, value: object, wanted: str) -> PlanError:
    return PlanError(f"{name} is {value!r:.200}; it must be {wanted}.")
