"""The frames kept: of the right code, with nobody's values, and not for ever."""

from __future__ import annotations

import gc
import linecache
import random
import sys
import threading
import traceback
import types
import weakref
from typing import Any

import pytest

from everylayer import stacktrace
from everylayer.rendering import frames as frames_module
from everylayer.rendering import stack as stack_module
from everylayer.rendering.cache import Generations
from everylayer.rendering.frames import FrameCache
from everylayer.rendering.stack import stack_lines

AMPLE = 1 << 20
has_columns = pytest.mark.skipif(sys.version_info < (3, 11), reason="columns came with 3.11")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacktrace, "_frames", FrameCache())


@pytest.fixture
def rendered_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each call of the standard library was asked for."""
    counts: list[int] = []
    extract = traceback.extract_tb

    def counting(tb: Any, limit: int | None = None) -> traceback.StackSummary:
        summary = extract(tb, limit=limit)
        counts.append(len(summary))
        return summary

    monkeypatch.setattr(traceback, "extract_tb", counting)
    return counts


def by_library(exc: BaseException) -> str:
    return "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))


def render(exc: BaseException) -> str:
    return stacktrace.render(exc, max_bytes=AMPLE)


def caught(function: Any, *args: object) -> BaseException:
    try:
        function(*args)
    except Exception as exc:
        return exc
    raise AssertionError("nothing raised")


def made(source: str, filename: str = "<made>", **names: object) -> dict[str, Any]:
    """Run `source`; its code objects belong to what it defines and to nothing else."""
    names["__name__"] = "made"
    exec(compile(source, filename, "exec"), names)
    return names


def charge(tenant: str, card: str) -> None:
    raise ValueError(f"card {card} of {tenant} declined")


def down(left: int) -> None:
    if left:
        down(left - 1)
    raise ValueError("deep")


def test_each_frame_is_rendered_once(rendered_frames: list[int]) -> None:
    first, second = caught(down, 2), caught(down, 2)
    render(first)
    # Outermost call, the one line that calls itself, the one that raises.
    assert rendered_frames == [3]
    assert render(second) == by_library(second)
    assert rendered_frames == [3]


@has_columns
def test_a_known_stack_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    exc = caught(down, 1)
    assert render(exc) == by_library(exc)
    monkeypatch.delattr(stack_module, "_all")
    assert render(exc) == by_library(exc)


def test_what_one_tenant_sent_never_shows_in_the_stack_of_another() -> None:
    first = caught(charge, "alpha", "4000-0000")
    second = caught(charge, "beta", "5000-0000")
    assert "4000-0000" in render(first)
    assert render(second) == by_library(second)
    assert "4000" not in render(second)
    kept = [*stacktrace._frames.by_code.young.values(), *stacktrace._frames.by_source.young.items()]
    assert kept
    assert "4000" not in repr(kept)
    assert "beta" not in repr(kept)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("depth", [2, 3, 4, 5, 40])
def test_an_eviction_does_not_restart_the_count_of_repeated_lines(size: int, depth: int) -> None:
    exc = caught(down, depth)
    cache = FrameCache(size)
    for _ in range(3):
        lines = "".join(stack_lines(exc.__traceback__, cache, AMPLE))
        assert lines == "".join(traceback.format_tb(exc.__traceback__))
        assert len(cache.by_code.young) <= size


def test_a_recycled_address_does_not_bring_back_what_stood_there() -> None:
    addresses = []
    for number in range(300):
        names = made(f"def run{number % 7}():\n" + "\n" * (number % 5) + f"    int('x{number}')\n")
        (run,) = (value for name, value in names.items() if name.startswith("run"))
        addresses.append(id(run.__code__))
        exc = caught(run)
        expected = by_library(exc)
        assert render(exc) == expected
        del names, run, exc
        gc.collect(0)
    # Without this the test would show nothing.
    assert len(set(addresses)) < len(addresses)


def test_equal_code_of_two_files_is_not_the_same_code() -> None:
    source = "def run():\n    raise ValueError('same')\n"
    one, other = made(source, "one.html")["run"], made(source, "other.html")["run"]
    assert one.__code__ == other.__code__
    assert 'File "one.html"' in render(caught(one))
    assert 'File "other.html"' in render(caught(other))


@has_columns
def test_code_made_anew_is_recognised_by_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def run(x):\n    return [1, x + (x / 0)]\n"
    linecache.cache["page.html"] = (len(source), None, source.splitlines(True), "page.html")
    formatted = []
    original = traceback.StackSummary.format_frame_summary

    def counting(self: Any, frame: Any, **kwargs: Any) -> str:
        formatted.append(frame.filename)
        return original(self, frame, **kwargs)

    for _ in range(6):
        exc = caught(made(source, "page.html")["run"], 1)
        expected = by_library(exc)
        with monkeypatch.context() as patch:
            patch.setattr(traceback.StackSummary, "format_frame_summary", counting)
            assert render(exc) == expected
    # Met, met again, known.
    assert formatted.count("page.html") == 2


@has_columns
def test_another_source_under_the_same_name_is_another_source() -> None:
    for number in range(6):
        source = f"def run(x):\n    return [{number % 3}, x / 0]\n"
        linecache.cache["page.html"] = (len(source), None, source.splitlines(True), "page.html")
        exc = caught(made(source, "page.html")["run"], 1)
        assert render(exc) == by_library(exc)


def test_code_frames_exceptions_and_modules_can_go() -> None:
    module = types.ModuleType("tenant_module")
    source = "class Own(Exception): pass\ndef run(held):\n    raise Own('x')\n"
    exec(compile(source, "<tenant>", "exec"), module.__dict__)

    class Held:
        pass

    held = Held()
    exc = caught(module.run, held)
    watched = [weakref.ref(each) for each in (module, module.run.__code__, module.Own, held, exc)]
    for _ in range(2):
        render(exc)
    stacktrace.raising_frame(exc.__traceback__)
    del exc, held, module
    gc.collect()
    assert [each() for each in watched] == [None] * 5


def test_the_cache_is_bounded_however_many_frames_there_are() -> None:
    cache = FrameCache(16)
    for number in range(200):
        exc = caught(made(f"def run{number}():\n    int('x')\n")[f"run{number}"])
        stack_lines(exc.__traceback__, cache, AMPLE)
    assert 0 < len(cache.by_code.young) <= 16
    assert len(cache.by_code._old) <= 16
    assert len(cache.by_source.young) + len(cache.by_source._old) <= 2 * 16


def test_long_lines_weigh_more() -> None:
    cache: Generations[int, str] = Generations(10)
    cache.put(1, "long", weight=10)
    cache.put(2, "short")
    assert list(cache.young) == [2]
    assert cache.get(1) == "long"
    assert list(cache.young) == [2, 1]


def test_what_is_in_use_survives_and_what_is_not_goes() -> None:
    cache: Generations[int, int] = Generations(4)
    for number in range(100):
        cache.put(number, number)
        assert cache.get(0) == 0
    assert cache.get(50) is None
    cache.clear()
    assert cache.get(0) is None


def test_where_code_cannot_be_told_apart_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(code: object) -> None:
        raise TypeError("cannot create weak reference to 'code' object")

    monkeypatch.setattr(frames_module.weakref, "ref", refused)
    exc = caught(down, 5)
    for _ in range(2):
        assert render(exc) == by_library(exc)


def test_an_interrupt_between_two_steps_leaves_no_half_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    exc = caught(down, 3)
    with monkeypatch.context() as patch:
        patch.setattr(frames_module, "_place", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render(exc)
    assert render(exc) == by_library(exc)


def test_threads_read_the_same_as_one_alone() -> None:
    stacktrace._frames = FrameCache(3)
    excs = [caught(down, depth) for depth in range(6)]
    excs += [caught(made(f"def run{n}():\n    int('x')\n")[f"run{n}"]) for n in range(6)]
    expected = {id(exc): by_library(exc) for exc in excs}
    wrong: list[str] = []
    start = threading.Barrier(4)

    def hammer(seed: int) -> None:
        order = random.Random(seed)
        start.wait()
        for _ in range(300):
            exc = order.choice(excs)
            text = render(exc)
            if text != expected[id(exc)]:
                wrong.append(text)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(stacktrace._frames.by_code.young) <= 3 + len(threads)
