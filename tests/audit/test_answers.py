"""What counts as another answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_values import BROKEN, OK

from everylayer.audit.answers import changes
from everylayer.audit.model import Answer


def with_headers(*headers: tuple[str, str]) -> Answer:
    return replace(OK, headers=headers)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (OK, []),
        (replace(OK, headers=(("content-type", "text/plain"),)), []),
        (replace(OK, status=503), ["the status is 503, not 200"]),
        (replace(OK, status=None), ["the status is missing, not 200"]),
        (replace(OK, escaped="ValueError: x"), ["ValueError: x left the app, not nothing"]),
        (replace(OK, body="cc" * 32), ["the body is another one"]),
        (with_headers(), ["the header content-type is another one"]),
        (
            with_headers(*OK.headers, ("Vary", "Cookie")),
            ["the header vary is another one"],
        ),
        (replace(OK, hazards=("started twice",)), ["started twice"]),
    ],
)
def test_each_part_is_compared(now: Answer, told: list[str]) -> None:
    assert list(changes((OK, OK), now)) == told


def test_what_is_never_the_same_is_not_compared() -> None:
    first = replace(OK, body="11" * 32, headers=(("Date", "1"), ("Set-Cookie", "a"), ("X", "1")))
    second = replace(OK, body="22" * 32, headers=(("Date", "2"), ("Set-Cookie", "b"), ("X", "1")))
    now = replace(OK, body="33" * 32, headers=(("Date", "3"), ("ETag", "e"), ("X", "2")))
    assert list(changes((first, second), now)) == ["the header x is another one"]


def test_a_volatile_status_is_not_compared() -> None:
    assert list(changes((OK, replace(OK, status=429)), replace(OK, status=503))) == []


def test_what_stock_changes_is_not_everylayers_doing() -> None:
    stock = replace(OK, status=201, hazards=("started twice",))
    assert list(changes((OK, OK), replace(stock, body="cc" * 32), stock)) == [
        "the body is another one"
    ]
    assert "the status is 500, not 200" in changes((OK, OK), BROKEN, OK)
