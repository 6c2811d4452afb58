"""Exceptions of every shape, raised through every kind of code: hypothesis strategies."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from hypothesis import strategies as st

if sys.version_info < (3, 11):
    # What anyio brings along: it renders groups by replacing parts of `traceback`.
    from exceptiongroup import BaseExceptionGroup

Then = Callable[[], object]
Way = Callable[[Then], object]

# --- ways to raise: each calls `then` from another kind of expression ---


def plain(then: Then) -> object:
    return then()


def inside_operator(then: Then) -> object:
    value: Any = 1
    return value + then() + 2


def over_lines(then: Then) -> object:
    return {
        "first": 1,
        # A comment between the lines of one expression.
        "second": [1 + 2 * (
            then()
        ), 3],
    }  # fmt: skip


def wide(then: Then) -> object:
    ideographs = "日本"
    return [ideographs, "日本🙂", then(), "日本"]


def subscript(then: Then) -> object:
    table: Any = {"key": [then]}
    return table["key"][0]()


def comprehension(then: Then) -> object:
    return [then() for _ in range(1)]


def generator(then: Then) -> object:
    return sum(then() for _ in range(1))  # type: ignore[misc]


def in_lambda(then: Then) -> object:
    call: Way = lambda then: then()  # noqa: E731
    return call(then)


class Method:
    def call(self, then: Then) -> object:
        return self.deeper(then)

    @staticmethod
    def deeper(then: Then) -> object:
        class Body:
            value = then()

        return Body


def manager(then: Then) -> object:
    with memoryview(b""):
        assert then(), "shown"
    return None


def recursion(depth: int) -> Way:
    def down(left: int, then: Then) -> object:
        if left:
            return down(left - 1, then)
        return then()

    return lambda then: down(depth, then)


def mutual(depth: int) -> Way:
    def even(left: int, then: Then) -> object:
        return odd(left - 1, then) if left > 0 else then()

    def odd(left: int, then: Then) -> object:
        return even(left - 1, then) if left > 0 else then()

    return lambda then: even(depth, then)


def same_line(depth: int) -> Way:
    """Different instructions of one line fold, though their carets differ."""

    def down(left: int, then: Then) -> object:
        return (down(left - 1, then) if left % 2 else [down(left - 1, then)]) if left else then()

    return lambda then: down(depth, then)


SOURCES = (
    "def run(then):\n    return then()\n",
    "def run(then):\n\n    return (1 +\n        then())\n",
    "def run(then):\n    é = '日本'; return [é, then()]\n",
    "class Run:\n    def __call__(self, then):\n        return {}.get(then())\nrun = Run()\n",
)
FILES = ("<string>", "<template>", "/nowhere/module.py", "", "<stdin>-0", "<stdin-1>", "日本.html")


def compiled(source: str, filename: str, *, shown: bool, change: str) -> Way:
    """Code made anew each time, with or without a source to be found, even without lines."""
    if shown:
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    else:
        linecache.cache.pop(filename, None)
    names: dict[str, Any] = {"__name__": "made"}
    exec(compile(source, filename, "exec"), names)
    run = names["run"]
    if change and isinstance(run, FunctionType):
        run.__code__ = changed(run.__code__, change)
    return run  # type: ignore[no-any-return]


def changed(code: CodeType, change: str) -> CodeType:
    if change == "name":
        return code.replace(co_name="ren\nnamed\udc80")
    if change == "first line":
        return code.replace(co_firstlineno=7)
    if change == "hostile":
        return code.replace(co_linetable=b"")
    if sys.version_info >= (3, 11) and change == "no lines":
        # Each entry says of up to eight code units that they have no place in the source.
        units = len(code.co_code) // 2
        left = [min(8, units - start) for start in range(0, units, 8)]
        return code.replace(co_linetable=bytes(0xF8 | count - 1 for count in left))
    return code


WAYS: st.SearchStrategy[Way] = st.one_of(
    st.sampled_from(
        [
            plain,
            inside_operator,
            over_lines,
            wide,
            subscript,
            comprehension,
            generator,
            in_lambda,
            Method().call,
            manager,
        ]
    ),
    st.integers(0, 9).map(recursion),
    st.integers(0, 9).map(mutual),
    st.integers(0, 9).map(same_line),
    st.builds(
        compiled,
        st.sampled_from(SOURCES),
        st.sampled_from(FILES),
        shown=st.booleans(),
        change=st.sampled_from(["", "", "name", "first line", "no lines", "hostile"]),
    ),
)


# --- exceptions ---


class Outer:
    class Nested(ValueError):
        pass


class Raising(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class OddText(str):
    def __format__(self, spec: str) -> str:
        return "formatted"

    def __bool__(self) -> bool:
        return False


class OddMessage(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Sized(Exception):
    def __len__(self) -> int:
        return 0


class Links(Exception):
    """A class that lies about what it is linked to."""

    _claimed = KeyError("made up")

    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        return self._claimed


class NoTraceback(Exception):
    __traceback__ = None


class RaisingNotes(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise RuntimeError("no notes")


def elsewhere(module: object) -> type[Exception]:
    return type("Elsewhere", (Exception,), {"__module__": module})


def syntax_error(
    message: Any, filename: Any, line: Any, offset: Any, source: Any, end: Any, end_offset: Any
) -> SyntaxError:
    error = SyntaxError(message)
    error.filename, error.lineno, error.offset, error.text = filename, line, offset, source
    error.end_lineno, error.end_offset = end, end_offset
    return error


def real_syntax_error(source: str) -> BaseException:
    try:
        compile(source, "typed.py", "exec")
    except SyntaxError as exc:
        return exc
    return ValueError(source)


def misspelt(kind: str) -> BaseException:
    """Errors whose message gains a suggestion."""
    length = 1
    try:
        if kind == "local":
            lenght  # type: ignore[name-defined]  # noqa: B018, F821
        elif kind == "global":
            compyled  # type: ignore[name-defined]  # noqa: B018, F821
        elif kind == "module":
            __import__("collections").abd  # noqa: B018
        elif kind == "stdlib":
            base64  # type: ignore[name-defined]  # noqa: B018, F821
        elif kind == "import":
            from collections import OrderedDictt  # type: ignore[attr-defined]  # noqa: F401
        elif kind == "missing":
            import no_such_module_here  # type: ignore[import-not-found]  # noqa: F401
        elif kind == "attribute":
            Outer.Nestd  # type: ignore[attr-defined]  # noqa: B018
        elif kind == "self":
            Speller().spell()
    except Exception as exc:
        return exc
    return ValueError(length)


class Speller:
    blech = 1

    def spell(self) -> object:
        return blech  # type: ignore[name-defined]  # noqa: F821


TEXTS = st.one_of(
    st.sampled_from(["", "one", "two\nlines", "end\n", "\n", "\r\x0b\x85", "日本", "\udc80"]),
    st.text(max_size=20),
)
OFFSETS = st.one_of(st.none(), st.integers(-3, 12))
EXCEPTIONS: st.SearchStrategy[BaseException] = st.one_of(
    st.builds(ValueError, TEXTS),
    st.builds(KeyError, TEXTS),
    st.builds(Outer.Nested, TEXTS),
    st.sampled_from(["m", "__main__", "builtins", "", None, 7]).map(
        lambda name: elsewhere(name)("x")
    ),
    st.sampled_from(
        [Raising, OddMessage, Falsy, Sized, Links, NoTraceback, RaisingNotes, KeyboardInterrupt]
    ).map(lambda cls: cls()),
    st.builds(OSError, st.integers(1, 9), TEXTS, TEXTS),
    st.builds(NameError, TEXTS),
    st.builds(lambda name: NameError("no", name=name), TEXTS),
    st.builds(
        syntax_error,
        st.one_of(st.none(), TEXTS),
        st.one_of(st.none(), TEXTS),
        st.one_of(st.none(), st.integers(-1, 3), st.just("7")),
        st.one_of(OFFSETS, st.just("2")),
        st.one_of(st.none(), TEXTS, st.sampled_from(["  a b\n", "\t\fa = = b", "日本 日\n"])),
        OFFSETS,
        st.one_of(OFFSETS, st.just("5")),
    ),
    st.sampled_from(["a b", "(", "def f(:\n pass", "x = '\n", "if 1:\nx", "日本 = = 1"]).map(
        real_syntax_error
    ),
    st.sampled_from(
        ["local", "global", "module", "stdlib", "import", "missing", "attribute", "self"]
    ).map(misspelt),
)
MOST_SHOWN = 60
NOTES: st.SearchStrategy[object] = st.one_of(
    st.lists(TEXTS, max_size=3),
    st.lists(st.one_of(TEXTS, st.integers(), st.builds(Raising)), max_size=3),
    st.sampled_from(["text", b"bytes", ("a", "b"), 7, {"a": 1}, Raising()]),
)


def raised(exc: BaseException, ways: list[Way]) -> BaseException:
    """Raise `exc` through `ways`, the first outermost."""

    def go(left: list[Way]) -> object:
        if not left:
            raise exc
        return left[0](lambda: go(left[1:]))

    try:
        go(ways)
    except BaseException as caught:
        # One of a generator is replaced, and Python may chain what a way raises itself.
        return caught
    raise AssertionError("nothing raised")


@st.composite
def errors(draw: st.DrawFn) -> BaseException:
    """An exception with all that can hang on it; what is linked is drawn from earlier ones."""
    pool: list[BaseException] = []
    # How many exceptions one shows, itself included: groups of groups grow fast.
    sizes: dict[int, int] = {}
    for _ in range(draw(st.integers(1, 5))):
        exc, size = draw(EXCEPTIONS), 1
        if pool and draw(st.booleans()):
            members = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=18))
            depth = draw(st.sampled_from([0, 0, 1, 3, 12]))
            wanted = sum(sizes[id(each)] for each in members) + depth * (1 + sizes[id(pool[0])])
            if wanted <= MOST_SHOWN:
                size = wanted
                exc = BaseExceptionGroup(draw(TEXTS), members)
                for _ in range(depth):
                    exc = BaseExceptionGroup("nested", [exc, pool[0]])
        if draw(st.booleans()):
            exc = raised(exc, draw(st.lists(WAYS, max_size=4)))
        if draw(st.integers(0, 3)) == 0 and not isinstance(exc, RaisingNotes):
            exc.__notes__ = draw(NOTES)  # type: ignore[attr-defined]
        pool.append(exc)
        sizes[id(exc)] = size
        for kind in draw(st.lists(st.sampled_from(LINKS), max_size=2)):
            link(kind, exc, draw(st.sampled_from(pool)))
    return draw(st.sampled_from(pool[-2:]))


LINKS = ["cause", "context", "suppressed", "back"]


def link(kind: str, exc: BaseException, other: BaseException) -> None:
    """Chain `exc` to `other`, or `back`, which makes cycles."""
    if kind == "cause" and not isinstance(exc, Links):
        exc.__cause__ = other
    elif kind == "context":
        exc.__context__ = other
    elif kind == "suppressed":
        exc.__suppress_context__ = True
    elif kind == "back":
        other.__context__ = exc
