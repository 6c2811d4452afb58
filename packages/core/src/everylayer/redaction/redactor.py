"""Texts without their secrets: found by rule and by value, replaced in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..failsafe import count_failure
from ..rendering.cache import Generations
from ..rendering.frames import FrameCache
from . import replaced, values
from .actions import Action, mask
from .cuts import behind_open
from .rules import LONG, LONG_RULES, NAMED, SIGNS, WORDS, Rule
from .values import Exact

FAILED = "[redaction failed]"

# Of a longer text both ends alone are looked at, with so much more on the inner side of each
# that what the cut goes through is still seen whole.
MOST = 65536
MARGIN = 8192
_SENSITIVE = "sensitive"
# A value that nobody takes for a remark about one.
_PROBE = "x1y2z3w4"
_NAMES = 2048
# One of these stands where a secret without an end of its own begins.
_OPENERS = ("=", ":", '"', "'", "`", "_", "-", ".", "eyJ", "AIza")


class Finding(NamedTuple):
    """One secret in a text.

    Attributes:
        rule: the rule, or the pattern, that found it.
        kind: what it is.
        start: where it begins, in characters.
        end: where it ends, exclusive.
        replacement: what takes its place.
    """

    rule: str
    kind: str
    start: int
    end: int
    replacement: str


class _Found(NamedTuple):
    start: int
    end: int
    order: int
    rule: str
    kind: str


class Redactor:
    """What a policy has become at start-up.

    Attributes:
        frames: stacks rendered without secrets; another policy has its own.
        sources: lines of source as they stood together -> the same without secrets.
        strict: what the app tells of its users on purpose is redacted too.
    """

    __slots__ = (
        "_actions", "_allowed", "_always", "_named", "_names", "_rules", "_rules_of_short",
        "frames", "sources", "strict",
    )  # fmt: skip

    def __init__(
        self,
        rules: Sequence[Rule],
        actions: Mapping[str, Action],
        allowed: frozenset[str] = frozenset(),
        *,
        always: bool = False,
        strict: bool = False,
    ) -> None:
        """Make one of `rules`, the most telling first.

        Args:
            rules: they see every text that has a sign of a secret.
            actions: by rule; `sensitive` is for values that the app named.
            allowed: values to leave alone, as `plain` makes them.
            always: there are rules of the user's, whose signs are not known.
            strict: see the attribute.
        """
        self.strict: bool = strict
        self.sources: Generations[str, tuple[str, ...]] = Generations(_NAMES)
        self._names: Generations[tuple[str, bool], bool] = Generations(_NAMES)
        self._rules = tuple(enumerate(rules, 1))
        self._rules_of_short = tuple(one for one in self._rules if one[1].name not in LONG_RULES)
        self._named = next((rule.find for rule in rules if rule.name == NAMED), None)
        self._actions = dict(actions)
        self._allowed = allowed
        self._always = always
        self.frames: FrameCache = FrameCache(redact=self.code)

    def find(self, text: str, exact: Exact | None = None, *, code: bool = False) -> list[Finding]:
        """Return the secrets in `text`, in order and apart from each other."""
        found = self._found(text, exact, code)
        return self._findings(text, found) if found else []

    def _findings(self, text: str, found: list[_Found]) -> list[Finding]:
        findings = []
        for each in _merged(found):
            value = text[each.start : each.end]
            if self._allowed and plain(value) in self._allowed:
                continue
            shown = self._actions.get(each.rule, mask)(each.kind, value)
            findings.append(Finding(each.rule, each.kind, each.start, each.end, shown))
        return findings

    def redact(self, text: str, exact: Exact | None = None) -> str:
        """Return `text`, of any length, without secrets; raises what an action raises."""
        found = self.find(text, exact)
        return _replaced(text, found, 0, len(text)) if found else text

    def bounded(self, text: str, limit: int, exact: Exact | None = None) -> tuple[str, int]:
        """Return `text` without secrets and how many characters of its middle were left out.

        What is left out lies beyond `limit` characters from both ends, and 64 KiB are looked at
        whatever the limit; it never takes a part of a secret with it and leaves the other.
        Fails closed: a failure is counted, and nothing of the text is returned.
        """
        try:
            kept = max(limit, MOST // 2 - MARGIN)
            if len(text) <= 2 * (kept + MARGIN):
                found = self._found(text, exact, code=False)
                if found:
                    return _replaced(text, self._findings(text, found), 0, len(text)), 0
                return text, 0
            return self._ends(text, kept, exact)
        except Exception:
            # Without its stack: that may quote what was to be redacted.
            count_failure("everylayer.redaction", with_stack=False)
            return FAILED, 0

    def head(self, text: str, kept: int, exact: Exact | None = None) -> str:
        """Return the first `kept` characters of `text` without secrets; fails closed.

        What the cut would go through is seen whole, and replaced.
        """
        try:
            return self._head(text, kept, exact)
        except Exception:
            count_failure("everylayer.redaction", with_stack=False)
            return FAILED

    def is_named(self, name: str, *, header: bool = False) -> bool:
        """Tell whether a value of this name is sensitive, whatever it is; a failure says so too.

        Args:
            name: a key of a mapping, a variable.
            header: `name` is the first of a pair, which may be a mere list of words: only the
                headers that hold secrets count.
        """
        key = (name, header)
        known = self._names.get(key)
        if known is None:
            text = f"('{name}', '{_PROBE}')" if header else f"{name}='{_PROBE}'"
            start = text.rindex(_PROBE)
            try:
                found = self._found(text, None)
            except Exception:
                count_failure("everylayer.redaction", with_stack=False)
                return True
            known = any(each.rule == NAMED and each.start <= start for each in found)
            self._names.put(key, known)
        return known

    def stand_in(self, rule: str, kind: str, value: str) -> str:
        """Return what stands for a `value` that is known to be sensitive; fails closed.

        Args:
            rule: `named`, or `sensitive` for what the app has marked.
            kind: of secret.
            value: as it would be shown, in quotes or not.
        """
        try:
            if self._allowed and plain(value.strip("'\"")) in self._allowed:
                return value
            shown = self._actions.get(rule, mask)(kind, value)
            replaced.tell((rule,))
            return shown
        except Exception:
            count_failure("everylayer.redaction", with_stack=False)
            return FAILED

    def without(self, text: str, exact: Exact) -> str:
        """Return `text` without the values in `exact`, whatever else is in it; fails closed."""
        try:
            found = self._exactly(text, exact)
            return _replaced(text, self._findings(text, found), 0, len(text)) if found else text
        except Exception:
            count_failure("everylayer.redaction", with_stack=False)
            return f"  {FAILED}\n"

    def code(self, text: str) -> str:
        """Return lines of a source file without secrets.

        Raises:
            RuntimeError: that failed; it is counted.
        """
        try:
            found = self.find(text, code=True)
            return _replaced(text, found, 0, len(text)) if found else text
        except Exception:
            count_failure("everylayer.redaction", with_stack=False)
        raise RuntimeError(FAILED)

    def _found(self, text: str, exact: Exact | None, code: bool = False) -> list[_Found]:
        found = self._exactly(text, exact) if exact else []
        long = LONG.search(text) is not None
        if (
            not long
            and SIGNS.search(text) is None
            and not self._always
            and not any(map(text.__contains__, WORDS))
        ):
            return found
        for order, rule in self._rules if long else self._rules_of_short:
            for sign in rule.needs:
                if sign in text:
                    break
            else:
                continue
            find = rule.code if code and rule.code is not None else rule.find
            for start, end in find(text):
                found.append(_Found(start, end, order, rule.name, rule.kind))
            if rule.yields and found:
                found = _without_yielding(found, rule)
        return found

    def _exactly(self, text: str, exact: Exact) -> list[_Found]:
        return [
            _Found(start, end, 0, _SENSITIVE, kind)
            for start, end, kind in values.spans(text, exact)
        ]

    def _head(self, text: str, kept: int, exact: Exact | None) -> str:
        window = text[: kept + MARGIN]
        found = [each for each in self.find(window, exact) if each.start < kept]
        return _replaced(window, found, 0, max([kept, *(each.end for each in found)]))

    def _ends(self, text: str, kept: int, exact: Exact | None) -> tuple[str, int]:
        window = kept + MARGIN
        first = self._head(text, kept, exact)
        base = len(text) - window
        # The word that the window begins in may be the rest of a longer secret.
        opening = 0
        while opening < window and not text[base + opening].isspace():
            opening += 1
        tail = text[base:]
        found = [each for each in self.find(tail, exact) if each.end > MARGIN]
        start = min([MARGIN, *(each.start for each in found)])
        if opening > MARGIN and _may_be_secret(text, base):
            start = opening
        if self._named is not None:
            behind = behind_open(text, base, base + MARGIN, self._named) - base
            start = behind if behind > MARGIN else start
        if start > MARGIN:
            start = max([start, *(each.end for each in found if each.start < start)])
            found = [each for each in found if each.start >= start]
        return first + _replaced(tail, found, start, window), base + start - kept


def plain(value: str) -> str:
    """Return `value` as allowed values are compared: small, without blanks and dashes."""
    return value.casefold().replace(" ", "").replace("-", "")


def _may_be_secret(text: str, at: int) -> bool:
    """Tell whether the word that `at` is in may be the value of something further up."""
    start = max(text.rfind(blank, 0, at) for blank in " \n\t")
    return any(text.rfind(sign, max(start - 1, 0), at) >= 0 for sign in _OPENERS)


def _without_yielding(found: list[_Found], rule: Rule) -> list[_Found]:
    stronger = [each for each in found if each.rule == rule.yields]
    if not stronger:
        return found
    taken = iter(sorted(stronger))
    kept = [each for each in found if each.rule != rule.name]
    current: _Found | None = next(taken)
    for each in (each for each in found if each.rule == rule.name):
        while current is not None and current.end <= each.start:
            current = next(taken, None)
        if current is None or current.start >= each.end:
            kept.append(each)
    return kept


def _merged(found: list[_Found]) -> list[_Found]:
    """Return `found` in order; those that overlap become one, called after the most telling."""
    if len(found) == 1:
        return found
    found.sort()
    merged = [found[0]]
    for each in found[1:]:
        last = merged[-1]
        if each.start >= last.end:
            merged.append(each)
            continue
        telling = min(last, each, key=_order)
        merged[-1] = telling._replace(start=last.start, end=max(last.end, each.end))
    return merged


def _order(found: _Found) -> int:
    return found.order


def _replaced(text: str, found: Sequence[Finding], start: int, end: int) -> str:
    replaced.tell(each.rule for each in found)
    parts: list[str] = []
    at = start
    for each in found:
        parts += (text[at : each.start], each.replacement)
        at = each.end
    parts.append(text[at:end])
    return "".join(parts)
