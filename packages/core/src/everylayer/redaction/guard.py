"""One error's way through the redactor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from ..failsafe import count_failure
from ..rendering.frames import FrameCache
from ..settings import SettingsError
from . import annotated, policy
from .policy import Redaction
from .redactor import FAILED, Redactor

_resolved: dict[str, Redactor | None] = {}


def redactor_of(value: Any) -> Redactor | None:
    """Return the redactor that the setting `redaction` names, None for `off`.

    A file is read once.

    Raises:
        SettingsError: it is no policy.
    """
    if isinstance(value, Redaction):
        return value.redactor
    try:
        return _resolved[value]
    except KeyError:
        pass
    if value == policy.OFF:
        found = None
    elif value in policy.PRESETS:
        found = Redaction(value).redactor
    elif value.endswith(".toml"):
        found = policy.load(value).redactor
    else:
        raise SettingsError(
            f"everylayer setting redaction is {value!r:.200}; it must be one of "
            f"{', '.join(policy.PRESETS)}, off, or the path of a file that ends in .toml."
        )
    _resolved[value] = found
    return found


def prepare(value: Any, *, variables: bool) -> None:
    """Load at the app's start what its errors will need: one may be that files are not to be had.

    Raises:
        SettingsError: `value`, the setting `redaction`, is no policy.
    """
    redactor_of(value)
    if variables:
        from . import variables as _  # noqa: F401


def forget() -> None:
    """Read each policy file anew."""
    _resolved.clear()


class Redacting:
    """What the texts of one error go through: the rules, and the values known for it.

    Attributes:
        frames: stacks rendered without secrets.
        exact: values to be found, and their kinds.
        redactor: the policy's.
    """

    __slots__ = ("_done", "exact", "frames", "redactor")

    def __init__(self, redactor: Redactor, exact: Mapping[str, str]) -> None:
        self.redactor = redactor
        self._done: dict[tuple[str, int], tuple[str, int]] = {}
        self.exact = exact
        self.frames: FrameCache = redactor.frames

    def bounded(self, text: str, limit: int) -> tuple[str, int]:
        """Return `text` without secrets and how many characters of its middle were left out."""
        key = (text, limit if len(text) > limit else 0)
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = self.redactor.bounded(text, limit, self.exact)
        return found

    def head(self, text: str, kept: int) -> str:
        """Return the first `kept` characters of `text` without secrets."""
        return self.redactor.head(text, kept, self.exact)

    def is_named(self, name: str) -> bool:
        """Tell whether `name` says that its value is sensitive."""
        return self.redactor.is_named(name)

    def stand_in(self, rule: str, kind: str, value: str) -> str:
        """Return what stands for a `value` that is known to be sensitive."""
        return self.redactor.stand_in(rule, kind, value)

    def knowing(self, more: Mapping[str, str]) -> Redacting:
        """Return one that knows further values, and their kinds."""
        return Redacting(self.redactor, {**self.exact, **more})

    def lines(self, lines: list[str]) -> list[str]:
        """Return `lines` of `frames` without the values that are known for this error alone."""
        return [self.redactor.without(line, self.exact) for line in lines]


def redacting(
    redactor: Redactor,
    exc: BaseException,
    tb: TracebackType | None,
    linked: Sequence[BaseException],
    exact: Mapping[str, str],
    *,
    variables: bool = False,
) -> Redacting:
    """Return what redacts the texts of `exc` and of what it is linked to.

    Args:
        redactor: the policy's.
        exc: the error.
        tb: its traceback.
        linked: its causes, contexts and members.
        exact: values known to be sensitive; those of marked fields are added.
        variables: local variables will be shown, so that marked ones are looked for.
    """
    try:
        marked = annotated.collect(exc, tb, linked, always=variables)
        if marked:
            exact = {**exact, **marked}
    except Exception:
        # What is marked cannot be told from the rest any more.
        count_failure("everylayer.redaction", with_stack=False)
        return _Closed(redactor, {FAILED: ""})
    return Redacting(redactor, exact)


class _Closed(Redacting):
    __slots__ = ()

    def bounded(self, text: str, limit: int) -> tuple[str, int]:
        return FAILED, 0

    def head(self, text: str, kept: int) -> str:
        return FAILED

    def stand_in(self, rule: str, kind: str, value: str) -> str:
        return FAILED

    def knowing(self, more: Mapping[str, str]) -> Redacting:
        return self

    def lines(self, lines: list[str]) -> list[str]:
        return [f"  {FAILED}\n"]
