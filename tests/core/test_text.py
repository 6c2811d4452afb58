"""Strings: valid UTF-8, within their budget, head and tail kept."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.faults import BrokenStrError, HostileAttributesError, LyingClassError
from everylayer import text

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400)
LONG_TEXT = st.builds(lambda part, times: part * times, ANY_TEXT, st.integers(0, 200))


def escaped(raw: str) -> str:
    return raw.encode("utf-8", "backslashreplace").decode()


@given(ANY_TEXT)
def test_clean_is_valid_and_stable(raw: str) -> None:
    cleaned = text.clean(raw)
    assert cleaned == escaped(raw)
    assert text.clean(cleaned) == cleaned


@given(LONG_TEXT, st.integers(0, 500))
@example("\ud800" * 200, 100)
@example("é" * 60, 100)
def test_cut_is_within_its_bytes_and_stable(raw: str, limit: int) -> None:
    done = text.cut(raw, limit)
    assert len(done.encode()) <= limit
    assert text.cut(done, limit) == done


@given(LONG_TEXT, st.integers(0, 500))
def test_cut_leaves_what_fits(raw: str, limit: int) -> None:
    if len(escaped(raw).encode()) <= limit:
        assert text.cut(raw, limit) == escaped(raw)


@given(LONG_TEXT, st.integers(128, 500))
def test_cut_keeps_head_and_tail_and_says_how_much_is_gone(raw: str, limit: int) -> None:
    whole = escaped(raw)
    if len(whole.encode()) <= limit:
        return
    done = text.cut(raw, limit)
    assert done[:6] == whole[:6]
    assert done[-6:] == whole[-6:]
    assert "bytes left out" in done


def test_cut_counts_the_bytes_it_left_out() -> None:
    done = text.cut("a" * 1000, 148)
    assert done == "a" * 33 + "\n[... 900 bytes left out ...]\n" + "a" * 67


def test_cut_of_ten_megabytes_looks_at_its_ends_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(str):
        encoded = 0

        def __getitem__(self, key: object) -> str:
            part = str.__getitem__(self, key)  # type: ignore[index]
            Counting.encoded += len(part)
            return part

    done = text.cut(Counting("begin" + "é" * 10_000_000 + "end"), 200)
    assert done.startswith("begin")
    assert done.endswith("end")
    assert Counting.encoded <= 400


@given(LONG_TEXT, st.integers(1, 300))
@example("\ud800" * 40, 64)
def test_shorten_is_within_its_characters_and_stable(raw: str, limit: int) -> None:
    done = text.shorten(raw, limit)
    assert len(done) <= limit
    assert escaped(done) == done
    assert text.shorten(done, limit) == done


@given(LONG_TEXT, st.integers(32, 300))
def test_shorten_keeps_head_and_tail(raw: str, limit: int) -> None:
    whole = escaped(raw)
    done = text.shorten(raw, limit)
    assert (done == whole) is (len(whole) <= limit)
    assert done[:10] == whole[:10]
    assert done[-10:] == whole[-10:]
    assert done == whole or "…" in done


@given(LONG_TEXT, st.integers(1, 300))
def test_one_line_is_one_line_within_its_characters(raw: str, limit: int) -> None:
    done = text.one_line(raw, limit)
    assert len(done) <= limit
    assert len(done.splitlines()) <= 1
    assert done == done.strip()
    assert escaped(done) == done
    assert text.one_line(done, limit) == done


def test_one_line_joins_words() -> None:
    assert text.one_line("  one\n\ttwo  three\r\n", 80) == "one two three"
    assert text.one_line("start " + "x " * 500 + "end", 20) == "start x x… x x x end"


def test_message_survives_what_str_does() -> None:
    class Sub(str):
        def __str__(self) -> str:
            raise RuntimeError("never asked")

    class SubError(Exception):
        def __str__(self) -> str:
            return Sub("of a subclass")

    class NoStringError(Exception):
        def __str__(self) -> str:
            return 7  # type: ignore[return-value]  # noqa: PLE0307

    class StoppingError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    assert text.message_of(ValueError("plain")) == "plain"
    assert type(text.message_of(SubError())) is str
    assert text.message_of(SubError()) == "of a subclass"
    for hostile in (NoStringError(), StoppingError(), BrokenStrError()):
        assert text.message_of(hostile).endswith("whose str() raises>")
        assert type(hostile).__name__ in text.message_of(hostile)
        assert not text.is_printable(hostile)
    assert text.is_printable(ValueError("plain"))


def test_type_names() -> None:
    class Local(Exception):
        pass

    assert text.type_name(ValueError()) == "ValueError"
    assert text.type_name(Local()) == f"{__name__}.test_type_names.<locals>.Local"
    assert text.type_name(LyingClassError()) == "contract.faults.LyingClassError"
    assert text.type_name(HostileAttributesError()) == "contract.faults.HostileAttributesError"
    assert text.class_name(type("Odd", (Exception,), {"__module__": None})) == "Odd"
    assert text.class_name(type("Odd", (Exception,), {"__module__": 3})) == "Odd"
    assert text.class_name(type("Bad", (Exception,), {"__module__": "\ud800"})) == "\\ud800.Bad"


def test_a_class_that_hides_its_name_is_still_named() -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> object:
            raise RuntimeError(f"{name} is broken")

    class Hidden(Exception, metaclass=Meta):
        pass

    assert text.class_name(Hidden).endswith(".Hidden")


def test_a_class_made_outside_of_any_module_has_its_bare_name() -> None:
    assert text.class_name(eval("type('Odd', (), {})", {})) == "Odd"


def test_a_class_name_is_bounded() -> None:
    huge = type("N" * 1_000_000, (Exception,), {"__module__": "m"})
    assert len(text.class_name(huge)) <= 1024
