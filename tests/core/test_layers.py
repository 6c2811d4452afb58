"""Who a layer is: its name, its code, and the frames that it left in a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

from contract.faults import Fault
from everylayer import asgi, wsgi
from everylayer.chain import traceback_of
from everylayer.layers import (
    MACHINERY,
    UNKNOWN,
    Layer,
    LayerMap,
    called_by,
    codes_of,
    every_code_of,
    from_traceback,
    name_of,
)


class Gate:
    """A layer as a class."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    def __call__(self, request: Any) -> Any:
        return self.inner(request) if self.inner else fail(request)

    def process_view(self, request: Any) -> Any:
        return fail(request)

    @classmethod
    def made(cls, request: Any) -> Any:
        return fail(request)

    @staticmethod
    def still(request: Any) -> Any:
        return fail(request)

    class Inner:
        pass


class SubGate(Gate):
    pass


def fail(request: Any) -> Any:
    raise ValueError(request)


def factory(inner: Any = None) -> Any:
    def middleware(request: Any) -> Any:
        return inner(request) if inner else fail(request)

    return middleware


def class_factory() -> type:
    class Local:
        def __call__(self, request: Any) -> Any:
            return fail(request)

    return Local


@functools.wraps(factory)
def decorated(*args: Any) -> Any:
    return factory(*args)


def traceback_from(call: Callable[..., Any], *args: Any) -> TracebackType:
    try:
        call(*args)
    except Exception as exc:
        return traceback_of(exc).tb_next
    raise RuntimeError("nothing was raised")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Gate, "Gate"),
        (Gate(), "Gate"),
        (Gate.Inner, "Gate.Inner"),
        (SubGate(), "SubGate"),
        (fail, "fail"),
        (Gate().process_view, "Gate.process_view"),
        (SubGate().process_view, "SubGate.process_view"),
        (SubGate.made, "SubGate.made"),
        (Gate.still, "Gate.still"),
        (factory(), "factory.middleware"),
        (class_factory(), "Local"),
        (class_factory()(), "Local"),
        (lambda request: request, "<lambda>"),
        (functools.partial(fail), "fail"),
        (functools.partial(functools.partial(Gate()), 1), "Gate"),
        (functools.partial(SubGate().process_view), "SubGate.process_view"),
        (decorated, "factory"),
        (len, "len"),
        ([].append, "list.append"),
    ],
)
def test_name(target: Any, name: str) -> None:
    assert name_of(target) == name


def test_a_name_is_one_bounded_line() -> None:
    odd = type("Odd\n\n" + "N" * 10_000, (), {})
    assert len(name_of(odd)) <= 200
    assert "\n" not in name_of(odd)
    fail_too = functools.wraps(fail)(lambda: None)
    fail_too.__qualname__ = "bad \ud800"
    assert name_of(fail_too) == "bad \\ud800"
    fail_too.__dict__.clear()
    named_oddly = Gate()
    named_oddly.__qualname__ = 7  # type: ignore[attr-defined]
    assert name_of(named_oddly) == "7"


@pytest.mark.parametrize(
    ("target", "functions"),
    [
        (Gate, [Gate.__call__]),
        (Gate(), [Gate.__call__]),
        (SubGate(), [Gate.__call__]),
        (fail, [fail]),
        (Gate().process_view, [Gate.process_view]),
        (SubGate.made, [Gate.__dict__["made"].__func__]),
        (functools.partial(fail), [fail]),
        (decorated, [factory]),
        (object(), []),
        (len, []),
    ],
)
def test_codes(target: Any, functions: list[Any]) -> None:
    assert list(codes_of(target)) == [function.__code__ for function in functions]


def test_codes_of_named_methods() -> None:
    found = list(codes_of(Gate(), ("process_view", "absent", "made", "still")))
    assert found == [Gate.process_view.__code__, Gate.made.__code__, Gate.still.__code__]


def test_a_map_names_the_innermost_layer_crossed() -> None:
    outer, inner = Layer("outer", "middleware", 0), Layer("inner", "middleware", 1)
    layers = LayerMap()
    layers.add(outer, codes_of(Gate))
    layers.add(inner, codes_of(factory()))
    assert layers.locate(traceback_from(Gate(factory()), 1)) is inner
    assert layers.locate(traceback_from(factory(Gate()), 1)) is outer
    assert layers.locate(traceback_from(fail, 1)) is None
    assert layers.locate(None) is None


def test_the_outermost_layer_keeps_a_shared_code() -> None:
    first, second = Layer("first", "middleware", 0), Layer("second", "middleware", 1)
    layers = LayerMap()
    layers.add(first, codes_of(Gate))
    layers.add(second, codes_of(SubGate))
    assert layers.locate(traceback_from(SubGate(), 1)) is first


class AsgiGate:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class WsgiGate:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


async def quiet_app(scope: Any, receive: Any, send: Any) -> None:
    fail(scope)


async def curt_app(s: Any, r: Any, w: Any) -> None:
    fail(s)


def quiet_wsgi(environ: Any, start_response: Any) -> Any:
    return fail(environ)


def closure_wsgi() -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        return fail(environ)

    return app


def run(coroutine: Any) -> None:
    coroutine.send(None)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: run(AsgiGate(curt_app)({}, None, None)), "AsgiGate"),
        (lambda: run(AsgiGate(quiet_app)({}, None, None)), "quiet_app"),
        (lambda: WsgiGate(quiet_wsgi)({}, None), "quiet_wsgi"),
        (lambda: WsgiGate(fail_quick)({}, None), "WsgiGate"),
        (lambda: closure_wsgi()({}, None), "closure_wsgi.app"),
        (lambda: fail(1), "fail"),
        (lambda: Gate()(1), "fail"),
    ],
)
def test_frames_name_the_innermost_app_else_the_innermost_function(call: Any, name: str) -> None:
    found = from_traceback(traceback_from(call))
    assert found.kind == "app"
    # Before 3.11 a code object knows its bare name only.
    assert found.name in (name, name.rpartition(".")[2])


def fail_quick(e: Any, s: Any) -> Any:
    return fail(e)


def test_no_traceback_names_nobody() -> None:
    assert from_traceback(None) is UNKNOWN


def test_our_own_frames_are_no_layer() -> None:
    class Curt:
        async def __call__(self, s: Any, r: Any, w: Any) -> None:
            fail(s)

        def wsgi(self, e: Any, s: Any) -> Any:
            return fail(e)

    seen: list[TracebackType] = []

    def look(exc: BaseException) -> int | None:
        seen.append(traceback_of(exc))
        return None

    with pytest.raises(ValueError, match="type"):
        run(asgi.Probe(Curt(), client_status=look)({"type": "http"}, None, None))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a"):
        wsgi.Probe(Curt().wsgi, client_status=look)({"a": 1}, None)  # type: ignore[arg-type]
    assert [from_traceback(tb).name for tb in seen] == ["fail", "fail"]


def test_a_wrapper_of_sentrys_is_no_layer() -> None:
    namespace: dict[str, Any] = {"__name__": "sentry_sdk.integrations.starlette"}
    exec("def wrapper(scope, receive, send):\n    return scope(send)", namespace)
    tb = traceback_from(lambda: namespace["wrapper"](fail, None, None))
    assert from_traceback(tb).name == "fail"


def test_a_hostile_owner_does_not_hide_the_name() -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError(f"{name} is broken")

    class Hidden(metaclass=Meta):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            return fail(environ)

    found = from_traceback(traceback_from(lambda: type.__call__(Hidden)({}, None)))
    assert "__call__" in found.name or "Hidden" in found.name


def test_a_fault_is_no_layer() -> None:
    # A dataclass instance is no callable: it is still named by its class.
    assert name_of(Fault("x", ValueError, ValueError, "")) == "Fault"


def framework(source: str, **names: Any) -> dict[str, Any]:
    """Run `source` as a module of a framework called `frame`."""
    namespace: dict[str, Any] = {"__name__": "frame.base", **names}
    exec(source, namespace)
    return namespace


def test_every_function_of_a_layer_is_its_own_those_within_included() -> None:
    class Wide:
        def __call__(self, request: Any) -> Any:
            def within() -> Any:
                return lambda: fail(request)

            return within()()

        @staticmethod
        def still() -> None: ...

    names = {code.co_name for code in every_code_of(functools.partial(Wide()))}
    assert names >= {"__call__", "within", "<lambda>", "still"}
    assert {code.co_name for code in every_code_of(fail)} == {"fail"}


def test_what_a_base_class_wraps_counts_and_its_own_function_does_not() -> None:
    namespace = framework(
        "class Base:\n"
        "    def __init_subclass__(cls):\n"
        "        original = cls.__call__\n"
        "        def wrapped(self, request):\n"
        "            return original(self, request)\n"
        "        cls.__call__ = wrapped\n"
        "    def __call__(self, request): ...\n"
    )

    class Own(namespace["Base"]):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            return fail(request)

    class Map(LayerMap):
        shared = frozenset({"frame.base"})

    layers = Map()
    layers.learn(Layer("Own", "middleware", 0), Own)
    found = layers.locate(traceback_from(lambda: Own()("request")))
    assert found == Layer("Own", "middleware", 0)
    assert {code.co_name for code in every_code_of(Own, Map.shared)} == {"__call__"}


def test_what_a_framework_called_is_named_where_no_layer_is_known() -> None:
    class Map(LayerMap):
        machinery = frozenset({"frame"})

    def task() -> Any:
        return fail("request")

    run = framework("def run(task): return task()\ndef own(): return {}[1]")
    through = traceback_from(lambda: run["run"](task))
    found = Map().locate(through)
    assert found is not None
    assert found.name.endswith("task")
    assert found.kind == "app"
    assert Map().locate(traceback_from(run["own"])) == Layer("frame.base", "framework")
    assert called_by(frozenset({"other"}), through) is None
    assert LayerMap().locate(through) is None


@pytest.mark.parametrize("module", ["anyio._backends", "trio._threads", "outcome._impl"])
def test_what_runs_work_in_threads_and_tasks_is_not_the_apps(module: str) -> None:
    run: dict[str, Any] = {"__name__": module}
    exec("def run(work): return work()", run)
    found = called_by(MACHINERY, traceback_from(lambda: run["run"](lambda: fail("request"))))
    assert found is not None
    assert "<lambda>" in found.name
