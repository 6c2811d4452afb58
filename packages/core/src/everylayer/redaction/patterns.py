"""Where a secret lies in a text, by its form.

Each finder takes time in proportion to the text: repetitions are bounded, or come last so that
nothing after them can fail, or begin only where no earlier one may have begun.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from . import checks

Span = tuple[int, int]
Finder = Callable[[str], Iterator[Span]]

# What a `repr` writes for a character that cannot be shown ends in a letter or digit.
_ESCAPES = r"(?<=\\[abfnrtv0])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})|(?<=\\U[0-9a-f]{8})"
# Before a word of letters and digits, and before a number that is no part of a hash.
WORD = rf"(?:(?<![A-Za-z0-9])|{_ESCAPES})"
_RUN = rf"(?:(?<![\w-])|{_ESCAPES})"
# Blanks, dashes and what cannot be seen: a number may be written with them.
_GAP = " .\\-\u00a0\u2007\u2009\u200b-\u200d\u2010-\u2013\u202f\u2060\ufeff\ufffd\ud800-\udfff"

# The same as a `repr` or JSON writes them.
_ESCAPED_GAP = re.compile(
    r"\\{1,4}(?:x[89a-f][0-9a-f]"
    r"|u(?:00a0|200[79b-d]|201[0-3]|202f|2060|feff|fffd|d[89a-f][0-9a-f]{2}))",
    re.IGNORECASE,
)
_DIGITS = re.compile(f"[0-9][0-9{_GAP}]{{11,}}[0-9]")
_GROUP = re.compile("[0-9]+")
_ESCAPE = re.compile(r"\\(?:[abfnrtv]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|0)")
_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = frozenset("0123456789abcdefABCDEF")
# In characters: 64 bits are none, 128 are one.
_SHORTEST_HASH = 22


def cards(text: str) -> Iterator[Span]:
    """Yield payment card numbers: 13 to 19 digits of an issuer, with their check digit."""
    text = _with_gaps(text)
    for run in _DIGITS.finditer(text):
        start, end = run.span()
        after = _after_escape(text, start)
        if after:
            start = after
        elif start and text[start - 1] in _HEX and _is_hash(text, start):
            # Its tail; what follows the first gap is not.
            while start < end and text[start] in _HEX:
                start += 1
        if end < len(text) and text[end] in _HEX and _is_hash(text, end - 1):
            while end > start and text[end - 1] in _HEX:
                end -= 1
        yield from _cards_within(text, start, end)


def _with_gaps(text: str) -> str:
    """Return `text`, as long as it is, with blanks for gaps that are written as escapes."""
    if "\\" not in text:
        return text
    return _ESCAPED_GAP.sub(lambda found: " " * len(found[0]), text)


def _is_hash(text: str, at: int) -> bool:
    """Tell whether the digit at `at` is of a hash or a dump, not of a number that touches letters.

    A hash is longer than a card number with a few letters; a dump is in groups, and touches no
    word such as `card`.
    """
    low, high = at, at + 1
    while low and at - low <= _SHORTEST_HASH and text[low - 1] in _HEX:
        low -= 1
    while high < len(text) and high - at <= _SHORTEST_HASH and text[high] in _HEX:
        high += 1
    if high - low > _SHORTEST_HASH:
        return True
    digits = text[low:high].strip("abcdefABCDEF")
    if len(digits) >= 13 and digits.isdigit():
        return False
    before, after = text[max(low - 1, 0) : low], text[high : high + 1]
    return not (before.isalpha() and before not in "xX") and not after.isalpha()


def _after_escape(text: str, start: int) -> int:
    """Return where an escape ends that touches the digits at `start`, 0 for none."""
    for escape in _ESCAPE.finditer(text, max(start - 10, 0), start + 8):
        if escape.start() < start <= escape.end():
            return escape.end()
    return 0


def _cards_within(text: str, start: int, end: int) -> Iterator[Span]:
    groups = [group.span() for group in _GROUP.finditer(text, start, end)]
    free = start
    for index, (first, after) in enumerate(groups):
        if first < free or after - first < 3:
            continue
        digits = ""
        found = 0
        lengths: frozenset[int] | None = None
        for begin, last in groups[index : index + 19]:
            digits += text[begin:last]
            if len(digits) > 19:
                break
            if lengths is None and len(digits) >= 6:
                lengths = checks.card_lengths(digits)
                if not lengths:
                    break
            if lengths and len(digits) in lengths and checks.luhn(digits):
                found = last
        if found and not _in_uuid(text, first, found):
            yield first, found
            free = found


def _in_uuid(text: str, start: int, end: int) -> bool:
    near = _UUID.search(text, max(start - 36, 0), end + 36)
    return near is not None and near.start() < end and start < near.end()


_IBAN_SIGN = re.compile("[A-Za-z]{2}[0-9]{2}")
_IBAN = re.compile(WORD + "[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")


def ibans(text: str) -> Iterator[Span]:
    """Yield IBANs of a known country's length whose check digits fit."""
    # Quick to ask: few texts have any.
    if _IBAN_SIGN.search(text) is None:
        return
    at = 0
    while (found := _IBAN.search(text, at)) is not None:
        at = found.start() + 2
        length = checks.iban_length(found[0][:2])
        ends = [found.start() + i + 1 for i, c in enumerate(found[0]) if c.isalnum()]
        if length and len(ends) >= length:
            end = ends[length - 1]
            compact = re.sub("[ -]", "", text[found.start() : end])
            if checks.iban(compact) and not text[end : end + 1].isalnum():
                yield found.start(), end
                at = end


_DOMAIN = re.compile(r"@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}(?![\w-])")
# Whatever may stand in a local part without quotes, of any script.
_LOCAL_STOP = re.compile(r"[^\w.!#$%&'*+/=?^`{|}~-]")
_LOCAL_TRIM = "'`=/{|}&?#.*!"


def emails(text: str) -> Iterator[Span]:
    """Yield e-mail addresses."""
    free = 0
    for found in _DOMAIN.finditer(text):
        at = found.start()
        floor = max(free, at - 256)
        start = floor
        for stop in _LOCAL_STOP.finditer(text, floor, at):
            start = stop.end()
        # In `user='x@y.z'` and `?to=x@y.z` the address begins after the sign.
        local = text[start:at]
        cut = max(local.rfind(sign) for sign in "'`={}|&?/")
        local = local[cut + 1 :].lstrip(_LOCAL_TRIM)
        if local and local != "git":
            yield at - len(local), found.end()
            free = found.end()


_PHONE = re.compile(rf"(?<![\w+.])\+[1-9][0-9{_GAP}()/]{{6,24}}[0-9](?![0-9])")


def phones(text: str) -> Iterator[Span]:
    """Yield international numbers: a plus and 8 to 15 digits (E.164)."""
    for found in _PHONE.finditer(_with_gaps(text)):
        if 8 <= sum(char.isdigit() for char in found[0]) <= 15:
            yield found.span()


_JWT = re.compile(_RUN + r"eyJ[\w-]{8,}(?:\.[\w-]*){1,4}")
_BEARER = re.compile(rf"{WORD}(?i:bearer|token|apikey)[ \t]{{1,4}}(?P<value>[\w.~+/=-]{{8,}})")
_BASIC = re.compile(rf"{WORD}(?i:basic)[ \t]{{1,4}}(?P<value>[A-Za-z0-9+/=_-]{{4,}})")


def jwts(text: str) -> Iterator[Span]:
    """Yield JSON web tokens, signed or encrypted, cut ones too."""
    for found in _JWT.finditer(text):
        yield found.span()


def credentials(text: str) -> Iterator[Span]:
    """Yield what follows `Bearer` and `Basic`."""
    for found in _BEARER.finditer(text):
        if checks.opaque(found["value"]):
            yield found.span("value")
    for found in _BASIC.finditer(text):
        if checks.basic_credentials(found["value"]):
            yield found.span("value")


_KEYS = (
    _RUN
    + r"""(?:
        (?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|AIPA|ANPA|ANVA)[A-Z2-7]{16}(?![A-Z0-9])   # AWS
      | AIza[\w-]{35} | ya29\.[\w-]{20,} | GOCSPX-[\w-]{20,}                            # Google
      | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_\w{22,}                                 # GitHub
      | gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[\w-]{20,}                                      # GitLab
      | xox[abceoprs]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}                        # Slack
      | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,} | whsec_[A-Za-z0-9+/=]{20,}         # Stripe
      | sk-[A-Za-z0-9][\w-]{19,}                                              # OpenAI, Anthropic
      | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{40,} | rubygems_[0-9a-f]{40,}
      | SG\.[\w-]{16,32}\.[\w-]{16,} | key-[0-9a-f]{32} | SK[0-9a-f]{32}   # SendGrid and others
      | hf_[A-Za-z]{30,} | dop_v1_[0-9a-f]{60,} | dapi[0-9a-f]{32} | hv[sb]\.[\w-]{20,}
      | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32} | sq0[a-z]{3}-[\w-]{22,} | lin_api_[A-Za-z0-9]{30,}
      | [\w~.-]{3}[0-9]Q~[\w~.-]{31,}                                         # Azure AD
    )"""
)


@functools.cache
def _keys() -> re.Pattern[str]:
    # Half of what all these patterns together would take at an app's start.
    return re.compile(_KEYS, re.VERBOSE)


# What each of them has, whatever stands before it.
_KEY_SIGN = re.compile(
    r"A(?:[KSBC]IA|CCA|ROA|IDA|GPA|IPA|NPA|NVA|Iza)|ya29\.|GOCSPX-|g(?:h[pousr]_|ithub_pat_|l[a-z])"
    r"|x(?:ox[a-z]-|app-)|[srp]k_(?:live|test)_|whsec_|sk-[A-Za-z0-9]|npm_|pypi-|rubygems_|SG\.|key-[0-9a-f]"
    r"|SK[0-9a-f]|hf_|dop_v1_|dapi[0-9a-f]|hv[sb]\.|shp[acps]|sq0|lin_api_|[0-9]Q~"
)
_HOOK = re.compile(r"hooks\.slack\.com/(?:services|workflows)/(?P<value>[\w/+-]{8,})")


def cloud_keys(text: str) -> Iterator[Span]:
    """Yield keys by the prefixes that their issuers publish."""
    for found in _keys().finditer(text) if _KEY_SIGN.search(text) is not None else ():
        yield found.span()
    for found in _HOOK.finditer(text):
        yield found.span("value")


_PEM = re.compile("-----(?P<edge>BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(r"[^\w+/=\s\\-]")


def private_keys(text: str) -> Iterator[Span]:
    """Yield PEM blocks of private keys; where one edge is missing, all that may belong to it."""
    start: int | None = None
    free = 0
    for edge in _PEM.finditer(text):
        if edge["edge"] == "BEGIN":
            if start is None:
                start = edge.start()
            continue
        if start is None:
            start = free
            for stop in _PEM_BODY.finditer(text, free, edge.start()):
                start = stop.end()
        yield start, edge.end()
        start, free = None, edge.end()
    if start is not None:
        yield start, len(text)


_ADDRESS = re.compile("://[^\\s\"'<>`]*")
_PORT = re.compile("[0-9]{1,5}(?:[/?#]|$)")


def url_passwords(text: str) -> Iterator[Span]:
    """Yield the passwords in URLs and DSNs, whatever signs they hold unquoted."""
    for found in _ADDRESS.finditer(text):
        end = found.start()
        for part in found[0].split("://")[1:]:
            start = end + 3
            end = start + len(part)
            colon = part.find(":")
            at = part.rfind("@")
            if 0 <= colon < at - 1 and not _PORT.match(part, colon + 1):
                yield start + colon + 1, start + at


_IPS = re.compile(
    r"(?<![\w.:-])(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?![\w.])"
    r"|(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){3,7}(?::?[0-9a-fA-F]{1,4}){1,4}(?![\w:])"
)
_OPAQUE = re.compile(r"(?<![\w+/-])[\w+/-]{24,}={0,2}")


def addresses(text: str) -> Iterator[Span]:
    """Yield IP addresses."""
    for found in _IPS.finditer(text):
        yield found.span()


def opaque(text: str) -> Iterator[Span]:
    """Yield long strings that look random."""
    for found in _OPAQUE.finditer(text):
        if checks.mixed(found[0]):
            yield found.span()


def _checked(pattern: str, check: Callable[[str], bool] | None = None) -> Finder:
    # Compiled once they are asked for: few apps do.
    compiled = functools.cache(lambda: re.compile(WORD + pattern + "(?![A-Za-z0-9])"))

    def find(text: str) -> Iterator[Span]:
        for found in compiled().finditer(text):
            if check is None or check(found[0]):
                yield found.span()

    return find


NATIONAL: dict[str, Finder] = {
    "us_ssn": _checked("[0-9]{3}-[0-9]{2}-[0-9]{4}", checks.us_ssn),
    "uk_nino": _checked(
        "(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?[0-9]{2}){3} ?[A-D]"
    ),
    "es_dni": _checked("(?:[0-9]{8}|[XYZxyz][- ]?[0-9]{7})[- ]?[A-Za-z]", checks.es_dni),
    "fr_nir": _checked(
        "[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        checks.fr_nir,
    ),
    "it_cf": _checked(
        "[A-Za-z]{6}[0-9]{2}[A-EHLMPR-Ta-ehlmpr-t][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]", checks.it_cf
    ),
}
