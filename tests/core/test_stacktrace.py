"""What is asked of the front: bounds for any input, no failure, the frame that raised."""

from __future__ import annotations

import linecache
import sys
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import pytest

from everylayer import stacktrace, text
from everylayer.redaction.guard import Redacting, redacting, redactor_of
from everylayer.rendering import layout, tree
from everylayer.rendering.frames import FrameCache
from everylayer.rendering.writer import Writer

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

BUDGET = 16 * 1024


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacktrace, "_frames", FrameCache())


def caught(function: Callable[..., object], *args: object) -> BaseException:
    try:
        function(*args)
    except BaseException as exc:
        return exc
    raise AssertionError("nothing raised")


def by_library(exc: BaseException) -> str:
    return "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))


def fail(message: object) -> None:
    raise ValueError(message)


def chained(length: int, tb: TracebackType | None = None) -> BaseException:
    exc = caught(fail, 0)
    for number in range(1, length):
        following = ValueError(number).with_traceback(tb)
        following.__context__ = exc
        exc = following
    return exc


def repeated(exc: BaseException, times: int) -> BaseException:
    tb = exc.__traceback__
    assert tb is not None
    longer = tb
    for _ in range(times):
        longer = TracebackType(longer, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    return exc.with_traceback(longer)


def through(functions: int) -> BaseException:
    """A stack of that many different functions, deeper than Python lets one recurse."""
    source = "".join(f"def f{number}():\n    int('x{number}')\n" for number in range(functions))
    linecache.cache["<long>"] = (len(source), None, source.splitlines(True), "<long>")
    names: dict[str, Any] = {}
    exec(compile(source, "<long>", "exec"), names)
    longer = None
    for number in range(functions):
        tb = caught(names[f"f{number}"]).__traceback__
        assert tb is not None
        assert tb.tb_next is not None
        tb = tb.tb_next
        longer = TracebackType(longer, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    return ValueError("through").with_traceback(longer)


MEGABYTES = {
    "message": lambda: ValueError("x" * 10_000_000),
    "key": lambda: KeyError("x" * 10_000_000),
    "chain": lambda: chained(20_000),
    "cause": lambda: causes(20_000),
    "chain of long stacks": lambda: chained(400, through(1_000).__traceback__),
    "recursion": lambda: repeated(caught(fail, "deep"), 10_000),
    "stack": lambda: through(5_000),
    "group": lambda: ExceptionGroup("many", [ValueError(n) for n in range(20_000)]),
    "nested groups": lambda: nested(400),
    "doubling groups": lambda: doubling(24),
    "groups of big messages": lambda: ExceptionGroup(
        "many", [ValueError(str(n) * 400_000) for n in range(20)]
    ),
    "notes": lambda: noted(["note"] * 100_000),
    "long notes": lambda: noted(["n" * 1_000_000] * 10),
    "note text": lambda: noted("n" * 1_000_000),
    "syntax error": lambda: SyntaxError("m" * 9_000_000, ("f" * 9_000_000, 1, 1, "t" * 9_000_000)),
    "carets": lambda: SyntaxError("m", ("f", 1, 1, "", 1, 10**8)),
    "attribute": lambda: caught(getattr, ValueError(), "x" * 3_000_000),
}


def causes(length: int) -> BaseException:
    exc: BaseException = ValueError()
    for number in range(length):
        following = ValueError(number)
        following.__cause__ = exc
        exc = following
    return exc


def nested(depth: int) -> BaseException:
    exc: BaseException = ValueError()
    for _ in range(depth):
        exc = BaseExceptionGroup("g", [exc])
    return exc


def doubling(depth: int) -> BaseException:
    exc: BaseException = ValueError("shown two to the power of so many times")
    for _ in range(depth):
        exc = BaseExceptionGroup("g", [exc, exc])
    return exc


def noted(notes: object) -> BaseException:
    exc = ValueError("noted")
    exc.__notes__ = notes  # type: ignore[attr-defined]
    return exc


@pytest.mark.parametrize("shape", MEGABYTES)
def test_work_and_memory_are_bounded_for(shape: str) -> None:
    exc = MEGABYTES[shape]()
    tracemalloc.start()
    try:
        rendered = stacktrace.render(exc, max_bytes=BUDGET)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rendered.encode("utf-8")) <= BUDGET
    # `str()` of a KeyError and the repr of odd notes are the app's: they are made in full, once.
    own = {"key": 20_000_000, "note text": 2_000_000, "attribute": 8_000_000}
    assert peak < 4_000_000 + own.get(shape, 0)


@pytest.mark.parametrize("shape", ["recursion", "group"])
def test_what_fits_the_budget_is_whole_however_large_the_input(shape: str) -> None:
    exc = MEGABYTES[shape]()
    assert stacktrace.render(exc, max_bytes=BUDGET) == by_library(exc)


def test_no_more_frames_are_rendered_than_the_budget_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    extract = traceback.extract_tb

    def counting(tb: Any, limit: int | None = None) -> traceback.StackSummary:
        summary = extract(tb, limit=limit)
        asked.append(len(summary))
        return summary

    monkeypatch.setattr(traceback, "extract_tb", counting)
    exc = through(5_000)
    rendered = stacktrace.render(exc, max_bytes=BUDGET)
    assert sum(asked) <= BUDGET // 24 + 2
    expected = by_library(exc)
    # Both ends are those of the whole, the count alone is an estimate.
    assert rendered[:5_000] == expected[:5_000]
    assert rendered[-10_000:] == expected[-10_000:]
    assert " bytes left out ...]\n" in rendered


@pytest.mark.parametrize("size", [0, 1, 500, 40_000])
def test_no_more_notes_are_looked_at_for_secrets_than_the_budget_can_hold(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    bounded = Redacting.bounded

    def counting(self: Redacting, value: str, limit: int) -> tuple[str, int]:
        looked.append(len(value) + 1)
        return bounded(self, value, limit)

    monkeypatch.setattr(Redacting, "bounded", counting)
    redactor = redactor_of("default")
    assert redactor is not None
    exc = noted(["n" * size] * (4_000_000 // (size + 100)))
    rendered = stacktrace.render(
        exc, max_bytes=BUDGET, redacting=redacting(redactor, exc, None, [], {})
    )
    assert sum(looked) <= 2 * BUDGET + 3 * size + 100  # The message, and what is cut.
    assert rendered == text.cut(by_library(exc), BUDGET)


@pytest.mark.parametrize("length", [200, 20_000])
def test_a_long_chain_ends_as_the_whole_would(length: int) -> None:
    exc = chained(length)
    rendered = stacktrace.render(exc, max_bytes=4096)
    assert rendered[-2000:] == by_library(exc)[-2000:]


@pytest.mark.parametrize("budget", [1, 47, 48, 49, 100, 1000, 4096, 50_000])
@pytest.mark.parametrize("unit", ["x", "é", "日本\n"])
def test_the_count_of_what_was_left_out_is_that_of_one_cut(budget: int, unit: str) -> None:
    exc = caught(fail, unit * 40_000)
    assert stacktrace.render(exc, max_bytes=budget) == text.cut(by_library(exc), budget)


def test_the_writer_cuts_as_if_it_had_kept_everything() -> None:
    for limit in (1, 60, 300):
        for sizes in ([1], [limit] * 3, [limit] * 40, [7] * 900, [40 * limit, 3, 9 * limit]):
            parts = [f"{index}:" + "p" * size + "\n" for index, size in enumerate(sizes)]
            writer = Writer(limit)
            for part in parts:
                writer.write(part)
            assert writer.text() == text.cut("".join(parts), limit)


def test_no_budget_no_text() -> None:
    assert stacktrace.render(ValueError("x"), max_bytes=0) == ""
    assert stacktrace.render(ValueError("x"), max_bytes=-1) == ""


def test_lone_surrogates_are_cleaned_and_the_rest_is_kept() -> None:
    exc = caught(fail, "a\udc80b日本")
    assert stacktrace.render(exc, max_bytes=BUDGET).endswith("ValueError: a\\udc80b日本\n")


# --- hostile ---


class HostileMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise SystemExit(name)

    def __subclasscheck__(cls, other: type) -> bool:
        raise SystemExit("subclass")

    __instancecheck__ = __subclasscheck__


def no_name() -> BaseException:
    # Not at module level: pytest looks at what it finds there.
    return HostileMeta("NoName", (Exception,), {})("x")  # type: ignore[no-any-return]


def refusing(name: str, error: BaseException) -> BaseException:
    def refuse(*_: object) -> None:
        raise error

    return type("Refusing", (Exception,), {name: property(refuse)})("message")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("str")

    __repr__ = __str__


class Endless(Exception):
    """Each look at its cause makes another one."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        return Endless()


class EndlessNotes(Sequence):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        return "note"

    def __iter__(self) -> Iterator[str]:
        while True:
            yield "note"


class Undecided(Exception):
    def __bool__(self) -> bool:
        raise SystemExit("bool")


class OddBool:
    def __bool__(self) -> bool:
        raise SystemExit("bool")


class Suppressing(Exception):
    __suppress_context__ = OddBool()  # type: ignore[assignment]


class OddGroup(BaseExceptionGroup):  # type: ignore[type-arg]
    exceptions = (1, None, ValueError("believed"))  # type: ignore[assignment]


class RefusingGroup(BaseExceptionGroup):  # type: ignore[type-arg]
    @property
    def exceptions(self) -> Any:
        raise SystemExit("exceptions")


def holding(error: BaseException) -> BaseException:
    outer = ValueError("outer")
    outer.__context__ = error
    return outer


HOSTILE: list[Callable[[], BaseException]] = [
    no_name,
    Unprintable,
    Endless,
    Undecided,
    Suppressing,
    lambda: holding(Undecided()),
    lambda: noted(EndlessNotes()),
    lambda: noted([Unprintable()]),
    lambda: noted(Unprintable()),
    lambda: OddGroup("g", [ValueError()]),
    lambda: RefusingGroup("g", [ValueError("inner")]),
    lambda: SyntaxError("m", ("f", object(), "offset", 7)),
    lambda: SyntaxError("m", ("f", 10**5000, 1, "text")),
    *(
        lambda name=name, error=error: refusing(name, error)  # type: ignore[misc]
        for name in (
            "__cause__",
            "__context__",
            "__suppress_context__",
            "__traceback__",
            "__notes__",
            "__class__",
            "__dict__",
        )
        for error in (RuntimeError("refused"), SystemExit("refused"))
    ),
]


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_no_exception_makes_the_renderer_raise(index: int) -> None:
    linked = caught(throw, HOSTILE[index]())
    BaseException.__dict__["__context__"].__set__(linked, KeyError("before"))
    for exc in (HOSTILE[index](), holding(HOSTILE[index]()), linked):
        rendered = stacktrace.render(exc, max_bytes=BUDGET)
        assert rendered
        assert len(rendered.encode("utf-8")) <= BUDGET


def throw(exc: BaseException) -> None:
    raise exc


def test_what_a_class_refuses_to_tell_is_read_past_it() -> None:
    exc = refusing("__cause__", RuntimeError("refused"))
    BaseException.__cause__.__set__(exc, KeyError("the real one"))  # type: ignore[attr-defined]
    assert "KeyError: 'the real one'" in stacktrace.render(exc, max_bytes=BUDGET)
    group = RefusingGroup("g", [ValueError("inner")])
    if sys.version_info >= (3, 11):
        assert "ValueError: inner" in stacktrace.render(group, max_bytes=BUDGET)
        assert "ValueError: believed" in stacktrace.render(
            OddGroup("g", [ValueError()]), max_bytes=BUDGET
        )


@pytest.mark.parametrize("error", [OSError, ValueError, SystemError])
def test_a_loader_that_raises_costs_the_source_line_only(error: type[Exception]) -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise error("no source today")

    names: dict[str, Any] = {"__name__": "loaded", "__loader__": Loader()}
    exec(compile("def run(then):\n    then()\n", "loaded.py", "exec"), names)
    exc = caught(names["run"], lambda: fail("x"))
    linecache.clearcache()
    rendered = stacktrace.render(exc, max_bytes=BUDGET)
    assert '  File "loaded.py", line 2, in run\n' in rendered
    assert "    raise ValueError(message)\n" in rendered


@pytest.mark.skipif(sys.version_info < (3, 11), reason="nothing is rendered by the library there")
def test_a_frame_that_the_library_cannot_render_goes_without_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It raises where a file has other lines by now than the code that runs.
    def broken(*_: object) -> str:
        raise IndexError("list index out of range")

    exc = caught(fail, "x")
    whole = by_library(exc)
    with monkeypatch.context() as patch:
        patch.setattr(traceback.StackSummary, "format_frame_summary", broken)
        assert stacktrace.render(exc, max_bytes=BUDGET).splitlines() == [
            line for line in whole.splitlines() if not line.startswith("    ")
        ]
    # And is not kept that way.
    assert stacktrace.render(exc, max_bytes=BUDGET) == whole


def test_a_false_exception_has_the_links_that_this_python_shows() -> None:
    class Falsy(Exception):
        def __bool__(self) -> bool:
            return False

    exc = Falsy()
    exc.__cause__ = KeyError("cause")
    assert stacktrace.render(exc, max_bytes=BUDGET) == by_library(exc)


def test_a_failure_of_our_own_leaves_the_message(
    monkeypatch: pytest.MonkeyPatch, failures: dict[str, int]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(stacktrace, "plant", broken)
    rendered = stacktrace.render(ValueError("the app's"), max_bytes=BUDGET)
    assert rendered == "ValueError: the app's\n"
    assert list(failures.values()) == [1]


@pytest.mark.usefixtures("failures")
def test_the_recursion_limit_may_be_near() -> None:
    def deeper() -> str:
        try:
            return deeper()
        except RecursionError as exc:
            return stacktrace.render(exc, max_bytes=BUDGET)

    assert "RecursionError" in deeper()


def test_the_texts_between_exceptions_are_those_of_this_python() -> None:
    exc = ValueError()
    exc.__cause__ = KeyError()
    assert tree.CAUSE in by_library(exc)
    other = ValueError()
    other.__context__ = KeyError()
    assert tree.CONTEXT in by_library(other)
    assert by_library(caught(fail, "x")).startswith(layout._HEADING)


# --- the frame that raised ---


class Service:
    def charge(self) -> None:
        def inner() -> None:
            raise ValueError("inner")

        inner()


def test_the_frame_that_raised_is_the_innermost_with_its_qualified_name() -> None:
    exc = caught(Service().charge)
    frame = stacktrace.raising_frame(exc.__traceback__)
    name = "Service.charge.<locals>.inner" if sys.version_info >= (3, 11) else "inner"
    line = Service.charge.__code__.co_firstlineno + 2
    assert frame == (f"{__name__}.{name}", __file__, line)


def test_no_traceback_no_frame() -> None:
    assert stacktrace.raising_frame(None) is None


@pytest.mark.parametrize("module", [None, 7, "absent"])
def test_a_frame_without_a_module_has_its_own_name_only(module: object) -> None:
    names: dict[str, Any] = {"__name__": module}
    if module == "absent":
        del names["__name__"]
        names["__builtins__"] = {"int": int, "__name__": "not this"}
    exec(compile("def run(): int('x')", "gone\udc80.py", "exec"), names)
    frame = stacktrace.raising_frame(caught(names["run"]).__traceback__)
    assert frame == ("run", "gone\\udc80.py", 1)


def test_globals_that_are_no_plain_dict() -> None:
    class Globals(dict):  # type: ignore[type-arg]
        armed = False  # a tracer that measures coverage asks too

        def get(self, *asked: Any) -> Any:
            if self.armed:
                raise SystemExit("get")
            return super().get(*asked)

    class Name(str):
        def __format__(self, spec: str) -> str:
            raise SystemExit("format")

    names = Globals(__name__=Name("module"))
    exec(compile("def run(): int('x')", "globals.py", "exec"), names)
    tb = caught(names["run"]).__traceback__
    names.armed = True
    assert stacktrace.raising_frame(tb) == ("run", "globals.py", 1)


def test_a_name_beyond_measure_is_cut() -> None:
    code = fail.__code__.replace(co_name="n" * 100_000, co_filename="f" * 100_000)
    if sys.version_info >= (3, 11):
        code = code.replace(co_qualname="q" * 100_000)
    fake = type(fail)(code, {"__name__": "m" * 100_000})
    frame = stacktrace.raising_frame(caught(fake, "x").__traceback__)
    assert frame is not None
    assert len(frame.function) <= 2048
    assert len(frame.file) <= 2048


def test_what_everylayer_raises_by_itself_is_raised_where_it_was_put() -> None:
    names: dict[str, object] = {"__name__": "everylayer.faults.somewhere"}
    exec(compile("def put(): raise KeyError('put')", "put.py", "exec"), names)
    frame = stacktrace.raising_frame(caught(lambda: names["put"]()).__traceback__)  # type: ignore[operator]
    assert frame is not None
    assert frame.file == __file__
