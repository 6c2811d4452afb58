"""Check digits and formats: what tells a secret from a number that looks like one."""

from __future__ import annotations

import re

_DOUBLED = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))

# Issuer prefixes and lengths. Source: ISO/IEC 7812 ranges as the networks publish them.
_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = (
    (re.compile("4"), frozenset({13, 16, 19})),
    (re.compile("5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), frozenset({16})),
    (re.compile("3[47]"), frozenset({15})),
    (re.compile("3(?:0[0-5]|095|[689])"), frozenset({14, 16, 17, 18, 19})),
    (re.compile("6(?:011|4[4-9]|5)"), frozenset({16, 17, 18, 19})),
    (re.compile("35(?:2[89]|[3-8])"), frozenset({16, 17, 18, 19})),
    (re.compile("62|8[15]"), frozenset({16, 17, 18, 19})),
    (re.compile("50|5[6-8]|6[037]"), frozenset({13, 14, 15, 16, 17, 18, 19})),
    (re.compile("220[0-4]"), frozenset({16, 17, 18, 19})),
)

# Source: the IBAN registry of ISO 13616.
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL SO",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Tell whether the last of these ASCII digits is the check digit of ISO/IEC 7812."""
    data = digits.encode()
    total = sum(data[-1::-2].translate(_PLAIN)) + sum(data[-2::-2].translate(_DOUBLED))
    return total % 10 == 0


def card_lengths(digits: str) -> frozenset[int]:
    """Return how long a card number may be that begins like `digits`."""
    for prefix, lengths in _ISSUERS:
        if prefix.match(digits):
            return lengths
    return frozenset()


def iban_length(country: str) -> int:
    """Return the length of an IBAN of `country`, 0 where there is none."""
    return _IBAN_LENGTHS.get(country.upper(), 0)


def iban(compact: str) -> bool:
    """Tell whether `compact`, an IBAN without spaces, has the remainder 1 modulo 97."""
    turned = compact[4:] + compact[:4]
    try:
        return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1
    except ValueError:
        return False


def basic_credentials(value: str) -> bool:
    """Tell whether `value` is the base64 of `user:password`."""
    import base64

    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return False


def opaque(value: str) -> bool:
    """Tell whether `value` is a made-up string rather than a word: digits, or long."""
    return len(value) >= 24 or any(char.isdigit() for char in value)


def mixed(value: str) -> bool:
    """Tell whether `value` has digits, capitals and small letters, as random strings do."""
    return (
        any(char.isdigit() for char in value)
        and any(char.isupper() for char in value)
        and any(char.islower() for char in value)
    )


def us_ssn(value: str) -> bool:
    """Tell whether the areas and groups of `123-45-6789` are ones that are given out."""
    area, group, serial = value.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def es_dni(value: str) -> bool:
    """Tell whether the letter of a Spanish DNI or NIE fits."""
    compact = value.upper().replace("-", "").replace(" ", "")
    number = int(compact[:-1].translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == compact[-1]


def fr_nir(value: str) -> bool:
    """Tell whether the key of a French social security number fits."""
    compact = value.upper().replace(" ", "").replace("2A", "19").replace("2B", "18")
    return compact.isdigit() and int(compact[:13]) % 97 == 97 - int(compact[13:])


def it_cf(value: str) -> bool:
    """Tell whether the last letter of an Italian codice fiscale fits."""
    code = value.upper()
    odd = (
        1,
        0,
        5,
        7,
        9,
        13,
        15,
        17,
        19,
        21,
        2,
        4,
        18,
        20,
        11,
        3,
        6,
        8,
        12,
        14,
        16,
        10,
        22,
        25,
        24,
        23,
    )
    total = 0
    for index, char in enumerate(code[:15]):
        rank = int(char) if char.isdigit() else ord(char) - 65
        total += rank if index % 2 else odd[rank]
    return chr(total % 26 + 65) == code[15]
