"""What errors may take together: the first are whole, and a storm is over once it is exported."""

from __future__ import annotations

import pytest

from everylayer import volume
from everylayer.error_record import ErrorRecord
from everylayer.layers import Layer
from everylayer.settings import Settings

MINUTE_NS = 60 * 10**9
RULES = Settings()


def record(size: int, message: str = "m") -> ErrorRecord:
    layer = Layer("Gate", "middleware", 0)
    return ErrorRecord("E", message, "s" * size, "", "", 0, (), layer, "", False, 0)


def taken(window: volume.Window, size: int, now_ns: int) -> int:
    """Let a span that wants `size` bytes take what it may, and return that."""
    account = volume.Account()
    given = min(size, window.room(account, RULES, now_ns))
    window.take(account, given)
    return given


def test_any_512_spans_in_a_row_stay_within_the_budget() -> None:
    window = volume.Window()
    sizes = [taken(window, 10**6 if n % 3 else 20_000, 1 + n) for n in range(3 * volume.SPANS)]
    for start in range(0, len(sizes) - volume.SPANS, 64):
        assert sum(sizes[start : start + volume.SPANS]) <= RULES.max_batch_bytes
    assert sizes[0] == 20_000
    assert min(sizes) >= volume.FLOOR


def test_small_errors_never_meet_the_budget() -> None:
    window = volume.Window()
    assert {taken(window, volume.FLOOR, 1 + n) for n in range(5_000)} == {volume.FLOOR}
    assert taken(window, 20_000, 10_000) == 20_000


def test_a_storm_that_has_been_exported_takes_nothing_from_later_errors() -> None:
    window = volume.Window()
    sizes = [taken(window, 20_000, 1) for _ in range(volume.SPANS)]
    assert sizes[-1] < 20_000
    assert taken(window, 20_000, MINUTE_NS // 2) < 20_000
    assert taken(window, 20_000, 2 * MINUTE_NS) == 20_000


def test_what_a_span_says_later_counts_as_its_own() -> None:
    volume.forget()
    account = volume.Account()
    assert volume.fitted([record(16_000)], account, RULES) is None
    assert account.bytes > 16_000
    before = account.bytes
    shortened = volume.fitted([record(60_000)], account, RULES)
    assert shortened is not None
    assert account.bytes <= RULES.max_span_bytes
    assert len(shortened[0].stacktrace) > RULES.max_span_bytes - before - 2_000
    volume.forget()


def test_the_longest_are_shortened_and_the_short_stay_whole() -> None:
    volume.forget()
    records = [record(100), record(100_000), record(50_000)]
    shortened = volume.fitted(records, volume.Account(), Settings(max_span_bytes=10_000))
    assert shortened is not None
    assert shortened[0] is records[0]
    sizes = [len(r.stacktrace) for r in shortened]
    assert abs(sizes[1] - sizes[2]) <= 64
    assert sum(sizes) <= 10_000
    assert "bytes left out" in shortened[1].stacktrace
    volume.forget()


@pytest.mark.parametrize("size", [0, 100])
def test_nothing_is_shortened_that_fits(size: int) -> None:
    volume.forget()
    assert volume.fitted([record(size)], volume.Account(), RULES) is None
    assert volume.fitted([], volume.Account(), RULES) is None
