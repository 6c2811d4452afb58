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
) -> Redacting:
    """Return what redacts the texts of `exc` and of what it is linked to.

    Args:
        redactor: the policy's.
        exc: the error.
        tb: its traceback.
        linked: its causes, contexts and members.
        exact: values known to be sensitive; those of marked fields are added.
    """
    try:
        marked = annotated.collect(exc, tb, linked)
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

    def knowing(self, more: Mapping[str, str]) -> Redacting:
        return self

    def lines(self, lines: list[str]) -> list[str]:
        return [f"  {FAILED}\n"]
