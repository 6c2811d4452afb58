"""A tree of exceptions taken apart and made again, as if in another process."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import away_work
from everylayer.boundaries.pickles import Room, dumped
from everylayer.boundaries.restored import restore
from everylayer.boundaries.tree import MAX_NODES, carry

pytest.importorskip("tblib")

GROUPS = pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")


def caught(func: Callable[[], object]) -> BaseException:
    try:
        func()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


def away(exc: BaseException, **limits: Any) -> BaseException:
    return restore(pickle.loads(pickle.dumps(carry(exc, **limits))))


def raising(exc: BaseException) -> BaseException:
    def throw() -> None:
        raise exc

    return caught(throw)


def shape(exc: BaseException | None, depth: int = 0) -> Any:
    """Return what must survive of a tree."""
    if exc is None or depth > 20:
        return None
    tb = [(f.filename, f.lineno, f.name) for f in traceback.extract_tb(exc.__traceback__)]
    return (
        type(exc).__qualname__,
        str(exc),
        tb,
        exc.__suppress_context__,
        list(getattr(exc, "__notes__", ())),
        shape(exc.__cause__, depth + 1),
        shape(exc.__context__, depth + 1),
        [shape(member, depth + 1) for member in getattr(exc, "exceptions", ())],
    )


def text(exc: BaseException) -> list[str]:
    """Return the lines of the standard library's text, without the marks of columns."""
    found = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))
    return [line for line in found.splitlines() if not set(line) <= set(" ~^")]


def test_the_whole_chain_survives_with_tracebacks_and_attributes() -> None:
    exc = caught(away_work.chain)
    there = away(exc)
    assert type(there) is away_work.Needs
    assert (there.code, there.why) == (3, "a cause")
    assert shape(there) == shape(exc)
    assert isinstance(there.__cause__, ValueError)
    assert there.__cause__.__suppress_context__
    assert isinstance(there.__cause__.__context__, KeyError)


def test_the_text_of_the_traceback_is_that_of_the_original() -> None:
    exc = caught(away_work.chain)
    assert text(away(exc)) == text(exc)


@GROUPS
def test_groups_keep_their_members_tracebacks_notes_and_classes() -> None:
    class Batch(ExceptionGroup[Exception]):
        pass

    inner = ExceptionGroup("inner", [raising(away_work.Needs(1, why="x"))])  # type: ignore[list-item]
    exc = raising(ExceptionGroup("outer", [inner, raising(OSError(2, "gone", "f"))]))  # type: ignore[list-item]
    exc.add_note("of the group")
    inner.exceptions[0].add_note("of the member")
    there = away(exc)
    assert shape(there) == shape(exc)
    assert isinstance(there, ExceptionGroup)
    assert isinstance(there.exceptions[1], FileNotFoundError)
    assert there.exceptions[1].filename == "f"
    local = away(raising(Batch("local", [ValueError("x")])))
    assert isinstance(local, ExceptionGroup)
    assert type(local).__qualname__ == Batch.__qualname__
    assert str(local) == "local (1 sub-exception)"


BUILTINS: list[BaseException] = [
    OSError(2, "No such file", "a.txt"),
    OSError(2, "No such file", "a.txt", None, "b.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"),
    UnicodeEncodeError("ascii", "ü", 0, 1, "bad character"),
    SyntaxError("bad", ("f.py", 3, 1, "x =")),
    ImportError("no", name="shop", path="/shop"),
    StopIteration(3),
    SystemExit(4),
    KeyboardInterrupt(),
    ConnectionResetError(104, "reset"),
    KeyError(("a", 1)),
    ValueError(),
    AttributeError("no", name="n", obj=1),
]


@pytest.mark.parametrize("exc", BUILTINS, ids=lambda exc: type(exc).__name__)
def test_builtins_are_what_they_were(exc: BaseException) -> None:
    there = away(exc)
    assert type(there) is type(exc)
    assert there.args == exc.args
    assert str(there) == str(exc)
    # What the standard library itself brings through a pickle, or more.
    plain = pickle.loads(pickle.dumps(exc))
    for name in (
        "errno",
        "filename",
        "filename2",
        "name",
        "path",
        "value",
        "code",
        "lineno",
        "reason",
    ):
        if hasattr(exc, name) and getattr(plain, name, None) == getattr(exc, name):
            assert getattr(there, name) == getattr(exc, name), name


def test_an_attribute_that_cannot_be_pickled_takes_no_other_with_it() -> None:
    there = away(caught(lambda: away_work.sent_away("holding")))
    assert type(there) is away_work.Holding
    assert there.kept == "kept"
    assert not hasattr(there, "lock")
    assert "lock" in there.__notes__[0]  # type: ignore[attr-defined]


def test_a_class_that_says_how_it_is_pickled_is_asked() -> None:
    there = away(caught(lambda: away_work.sent_away("reduced")))
    assert type(there) is away_work.Reduced
    assert (there.code, str(there)) == (7, "reduced 7")


def test_a_class_that_cannot_be_imported_is_stood_in_for_by_its_base() -> None:
    exc = caught(away_work.broken_class)
    there = away(exc)
    assert isinstance(there, LookupError)
    assert type(there).__qualname__ == type(exc).__qualname__
    assert type(there).__module__ == type(exc).__module__
    assert str(there) == "of a closure"
    assert "its class" in there.__notes__[0]  # type: ignore[attr-defined]
    # From further away still the same, and told once.
    assert shape(away(there)) == shape(there)


class Raises(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("from __reduce__")


class Endless(Exception):
    def __reduce__(self) -> Any:
        return Endless, (Endless(),)


class Nonsense(Exception):
    def __reduce__(self) -> Any:
        return 3  # type: ignore[return-value]


class OtherType(Exception):
    def __reduce__(self) -> Any:
        return dict, ()


class Impostor(Exception):
    def __reduce__(self) -> Any:
        return ValueError, ("somebody else",)


class BadState(Exception):
    def __getstate__(self) -> Any:
        raise RuntimeError("no state")


class BadNew(Exception):
    def __new__(cls, *args: Any) -> Any:
        if args == ("ours",):
            return super().__new__(cls, *args)
        raise RuntimeError("not like this")


class BadAttributes(Exception):
    @property
    def __notes__(self) -> Any:
        raise RuntimeError("no notes")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no dict")

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError("no attributes")


class Meta(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no instances")


class BadMeta(Exception, metaclass=Meta):
    pass


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def hostile() -> list[BaseException]:
    bad_meta: Any = BaseException.__new__(BadMeta)
    return [
        Raises("ours"),
        Endless("ours"),
        Nonsense("ours"),
        OtherType("ours"),
        Impostor("ours"),
        BadState("ours"),
        BadNew("ours"),
        BadAttributes("ours"),
        bad_meta,
        BadText("ours"),
    ]


@pytest.mark.parametrize("exc", hostile(), ids=lambda exc: type(exc).__name__)
def test_a_hostile_class_is_carried_all_the_same(exc: BaseException) -> None:
    wrapper = raising(RuntimeError("around it"))
    wrapper.__cause__ = raising(exc)
    there = away(wrapper).__cause__
    assert type(there).__qualname__ == type(exc).__qualname__
    assert there.__traceback__ is not None
    if not isinstance(exc, (BadMeta, BadText)):
        assert str(there) == "ours"


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), socket, lambda: None, (x for x in ()), threading.current_thread()],
    ids=["lock", "module", "function", "generator", "thread"],
)
def test_arguments_that_cannot_be_pickled_leave_the_message(value: object) -> None:
    exc = raising(ValueError("with", value))
    there = away(exc)
    assert isinstance(there, ValueError)
    assert str(there) == str(exc)
    assert "its arguments" in there.__notes__[0]  # type: ignore[attr-defined]


def test_a_huge_payload_is_left_behind() -> None:
    exc = raising(ValueError("x" * 5_000_000))
    exc.payload = bytes(5_000_000)  # type: ignore[attr-defined]
    data = pickle.dumps(carry(exc))
    assert len(data) < 100_000
    there = restore(pickle.loads(data))
    assert isinstance(there, ValueError)
    assert "bytes left out" in str(there)
    assert dumped(bytes(100), Room(50)) is None


def test_a_long_chain_a_deep_stack_and_a_cycle_are_bounded() -> None:
    exc: BaseException = ValueError(0)
    for n in range(1000):
        after = ValueError(n)
        after.__context__ = exc
        exc = after
    there = away(exc)
    count = 0
    link: BaseException | None = there
    while link is not None:
        count, link = count + 1, link.__context__
    assert count == MAX_NODES

    def dive(n: int) -> None:
        dive(n + 1)

    deep = away(caught(lambda: dive(0)))
    assert isinstance(deep, RecursionError)
    assert len(traceback.extract_tb(deep.__traceback__)) == 200

    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__cause__ = other, one
    there = away(one)
    assert there.__context__ is not None
    assert there.__context__.__cause__ is there


@GROUPS
def test_a_wide_group_says_how_many_of_its_members_stayed() -> None:
    exc = raising(ExceptionGroup("wide", [ValueError(n) for n in range(500)]))
    there = away(exc)
    assert isinstance(there, ExceptionGroup)
    assert len(there.exceptions) == MAX_NODES - 1
    assert "437 of its 500 members" in there.__notes__[0]


def test_what_arrives_damaged_is_an_exception_still() -> None:
    carried = carry(caught(away_work.chain))
    node = carried.nodes[0]._replace(
        args=b"no pickle", whole=b"\x80", attributes=(("a", b"?"),), classes=(("gone", "Class"),)
    )
    there = restore(carried._replace(nodes=(node, *carried.nodes[1:])))
    assert str(there) == "needs 3: a cause"
    assert type(there).__qualname__ == "Needs"


messages = st.text(max_size=20)
leaves = st.builds(
    lambda cls, message: cls(message),
    st.sampled_from([ValueError, KeyError, OSError, away_work.Holding]).map(
        lambda cls: cls if cls is not away_work.Holding else lambda _: away_work.Holding()
    ),
    messages,
)


def linked(children: st.SearchStrategy[BaseException]) -> st.SearchStrategy[BaseException]:
    def join(
        exc: BaseException, cause: BaseException | None, context: BaseException | None, hide: bool
    ) -> BaseException:
        exc.__cause__, exc.__context__ = cause, context
        exc.__suppress_context__ = hide
        return raising(exc)

    return st.builds(join, leaves, st.none() | children, st.none() | children, st.booleans())


@settings(max_examples=30, deadline=None)
@given(st.recursive(leaves, linked, max_leaves=8))
def test_any_tree_comes_back_as_it_was(exc: BaseException) -> None:
    there = away(exc)

    def bare(found: Any) -> Any:
        # What a `Holding` lost is told in a note.
        if not isinstance(found, tuple):
            return found
        return tuple([] if at == 4 else bare(part) for at, part in enumerate(found))

    assert bare(shape(there)) == bare(shape(exc))
