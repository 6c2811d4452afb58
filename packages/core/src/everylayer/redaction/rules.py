"""The rules there are: what each finds, what it calls it, and which text it need not look at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from . import pairs, patterns
from .patterns import Finder


class Rule(NamedTuple):
    """One kind of secret.

    Attributes:
        name: what settings call it.
        kind: what stands in its place: `[kind]`.
        find: yields where it is, in order.
        needs: a text without any of these holds none.
        code: what to use on lines of source instead of `find`.
        yields: a match that touches one of the rule of this name is left to that one.
    """

    name: str
    kind: str
    find: Finder
    needs: tuple[str, ...] = ("",)
    code: Finder | None = None
    yields: str = ""


# A text with none of these holds nothing that the built-in rules find: a sign, a long word, or
# a word of its own. All are quick to ask.
SIGNS = re.compile("[0-9@=:]")
LONG = re.compile(r"\S{16}")
WORDS = ("-----", "asic ", "ASIC ", "ookie", "uthorization", "UTHORIZATION", "COOKIE")
LONG_RULES = frozenset({"jwt", "cloud_key", "opaque"})

_BUILT_IN = (
    Rule("private_key", "private_key", patterns.private_keys, ("-----",)),
    Rule("url_password", "password", patterns.url_passwords, ("://",)),
    Rule("jwt", "jwt", patterns.jwts, ("eyJ",)),
    Rule("cloud_key", "cloud_key", patterns.cloud_keys),
    Rule(
        "credentials",
        "credentials",
        patterns.credentials,
        tuple(
            form
            for word in ("bearer ", "token ", "apikey ", "basic ")
            for form in (word[1:], word[1:].upper(), word[1:].replace(" ", "\t"))
        ),
    ),
    Rule("email", "email", patterns.emails, ("@",), yields="url_password"),
    Rule("card", "card", patterns.cards),
    Rule("iban", "iban", patterns.ibans),
    Rule("phone", "phone", patterns.phones, ("+",)),
    *(Rule(name, name, find) for name, find in patterns.NATIONAL.items()),
    Rule("ip", "ip", patterns.addresses, (".", ":")),
    Rule("opaque", "opaque", patterns.opaque),
)

NAMED = "named"
NAMES = (NAMED, *(rule.name for rule in _BUILT_IN))
NATIONAL = tuple(patterns.NATIONAL)
DEFAULT = tuple(name for name in NAMES if name not in (*NATIONAL, "ip", "opaque"))


def built_in(wanted: Iterable[str], more_names: Iterable[str]) -> list[Rule]:
    """Return the rules of these names, most telling first."""
    chosen = frozenset(wanted)
    names = tuple(more_names)
    named = Rule(
        NAMED,
        "secret",
        pairs.finder(names),
        ("=", ":", *WORDS[3:]),
        code=pairs.finder(names, literals_only=True),
    )
    return [rule for rule in (_BUILT_IN[0], named, *_BUILT_IN[1:]) if rule.name in chosen]
