"""Which host the audit asks for."""

from __future__ import annotations

import pytest

from everylayer.audit.hosts import ask, choose
from everylayer.audit.model import Request


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ([], "localhost"),
        (["*"], "localhost"),
        (["shop.example", "localhost"], "localhost"),
        (["*.example.org", "shop.example"], "shop.example"),
        ([".example.org"], "www.example.org"),
        (["*.example.org"], "www.example.org"),
    ],
)
def test_a_host_that_is_let_in(allowed: list[str], host: str) -> None:
    assert choose(allowed) == host


def test_what_the_user_asks_for_stays() -> None:
    given = Request(headers=(("HOST", "mine.example"),))
    assert ask(given, "localhost") is given
    assert ask(Request(), "shop.example").headers == (("Host", "shop.example"),)
