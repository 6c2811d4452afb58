"""What the chains of real applications hold, in small."""

from __future__ import annotations

import functools
from typing import Any

from starlette.applications import Starlette

from everylayer.audit.callables import interface_of, where
from everylayer.audit.context import find_losses
from everylayer.audit.model import Answer, ChainNode, SpanData, Trial, Visit
from everylayer.audit.plan import LOOK, walk
from everylayer.layers import codes_of
from everylayer_starlette.audit.adapter import StarletteAdapter


class Endpoint:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def wrapping(app: Any) -> Any:
    @functools.wraps(app)
    async def layer(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return layer


def test_a_function_that_wraps_an_object_is_known_by_its_own_code() -> None:
    layer = wrapping(Endpoint())
    assert list(codes_of(layer)) == [layer.__code__]
    assert where(layer).endswith(f"test_real_shapes.py:{layer.__code__.co_firstlineno}")


def test_a_callback_with_a_send_of_its_own_is_no_app() -> None:
    async def failed(scope: Any, send: Any, message_id: Any) -> None:
        raise NotImplementedError

    assert interface_of(failed) == ""
    assert interface_of(wrapping(Endpoint())) == "asgi"


class HoldsItself:
    """A layer around a function of its own that calls it back."""

    def __init__(self, app: Any) -> None:
        async def inside(scope: Any, receive: Any, send: Any) -> None:
            self.passed += 1
            await app(scope, receive, send)

        self.app = inside
        self.passed = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def test_a_layer_inside_another_that_holds_it_is_listed_once() -> None:
    app = Starlette()
    app.add_middleware(HoldsItself)
    opened = StarletteAdapter().open(app, "bare", "raised")
    names = [node.name.rpartition(".")[2] for node in walk(opened.chain.nodes)]
    assert names.count("HoldsItself") == 1
    assert names.count("inside") == 1


def test_a_span_that_has_ended_before_the_body_is_no_ones_loss() -> None:
    node = ChainNode("0", "stream", "endpoint")
    server = SpanData("GET /", "a" * 32, "b" * 16, kind="SERVER", start=1, end=100)
    began = Visit("0", "before", "a" * 32, "b" * 16, True, context=1, time=50)

    def losses(time: int) -> list[str]:
        after = Visit("0", "after", context=1, time=time)
        look = Trial("stock", LOOK, True, Answer(200), (began, after), (server,))
        return [finding.kind for finding in find_losses([node], {"stock": look})]

    assert losses(time=150) == []
    assert losses(time=60) == ["context-detached"]
