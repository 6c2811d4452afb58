"""One interceptor, anywhere, or none at all: where the seams are, and that they go again."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import logging
import weakref
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from grpc import _server as sync_server
from grpc import aio
from opentelemetry.instrumentation import grpc as stock
from opentelemetry.instrumentation.grpc import GrpcInstrumentorServer

import everylayer_grpc
import grpc_sync
from contract.expect import check
from contract.faults import PLAIN
from contract.telemetry import Telemetry, error_events, server_span, server_spans
from everylayer import Settings, SettingsError, signals
from everylayer_grpc import patches
from everylayer_grpc.instrumentor import EveryLayerGrpcInstrumentor
from everylayer_grpc.server import ServerSeam
from grpc_cases import BY_NAME, BY_PLACE, Outcome


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    patches.claim(None)


def send(interceptors: list[Any], place: str, shape: str = "unary_unary") -> Outcome:
    with (
        grpc_sync.serving(interceptors) as address,
        grpc.insecure_channel(address) as channel,
    ):
        return grpc_sync.call(channel, BY_NAME[shape], BY_PLACE[place])


def layers() -> list[Any]:
    return [grpc_sync.Recovery(), grpc_sync.Raiser()]


PLACES = ("before", "servicer", "converted", "intercept", "refused")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order_among_the_others_will_do(
    telemetry: Telemetry, order: tuple[int, ...], place: str
) -> None:
    chain = [
        everylayer_grpc.server_interceptor(),
        stock.server_interceptor(),  # type: ignore[no-untyped-call]
        grpc_sync.Raiser(),
    ]
    given = BY_PLACE["servicer" if place == "converted" else place]
    send([chain[at] for at in order], given.name)
    spans = telemetry.wait(server_spans)
    if given.said:
        (event,) = server_span(spans).events
        assert (event.attributes or {})["exception.message"] == given.said
    else:
        check(spans, PLAIN, given.expected)


def test_it_needs_no_other_interceptor(telemetry: Telemetry) -> None:
    send([everylayer_grpc.server_interceptor()], "servicer")
    check(telemetry.wait(server_spans), PLAIN, BY_PLACE["servicer"].expected)


def test_a_server_that_does_not_ask_is_left_as_it_is(telemetry: Telemetry) -> None:
    everylayer_grpc.server_interceptor()
    send(layers(), "servicer")
    assert telemetry.spans == ()


def test_switched_off_it_does_nothing(telemetry: Telemetry) -> None:
    send([*layers(), everylayer_grpc.server_interceptor(enabled=False)], "servicer")
    assert telemetry.spans == ()


def test_switched_off_it_still_lets_the_others_run(telemetry: Telemetry) -> None:
    send(
        [stock.server_interceptor(), everylayer_grpc.server_interceptor(enabled=False)], "servicer"
    )
    span = server_span(telemetry.wait(server_spans))
    assert "everylayer.layer.name" not in (span.attributes or {})


def test_it_begins_no_span_where_that_is_not_wanted(telemetry: Telemetry) -> None:
    send([everylayer_grpc.server_interceptor(server_span=False), *layers()], "servicer")
    assert telemetry.spans == ()


def test_stocks_filter_holds_for_errors_too(telemetry: Telemetry) -> None:
    nothing = stock.server_interceptor(filter_=lambda details: False)  # type: ignore[no-untyped-call]
    send([nothing, everylayer_grpc.server_interceptor()], "servicer")
    assert telemetry.spans == ()


def test_client_errors_can_be_left_out(telemetry: Telemetry) -> None:
    send([everylayer_grpc.server_interceptor(client_errors="none")], "not_found")
    assert server_span(telemetry.wait(server_spans)).events == ()


def test_details_of_an_abort_are_redacted(telemetry: Telemetry) -> None:
    secret = ("hunt", "er2")  # In two: a stack quotes the line that raises.

    def refuse(request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, f"password={''.join(secret)} is wrong")
        return b""

    call_one(refuse)
    span = server_span(telemetry.wait(server_spans))
    (event,) = span.events
    assert "hunter2" not in str(event.attributes) + str(span.status.description)


@pytest.mark.parametrize("beside", [True, False], ids=["beside stock", "alone"])
def test_the_log_event_has_the_name_that_is_for_rpcs(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    monkeypatch.setattr(signals, "wanted", lambda environ=None: (False, True))
    chain = [everylayer_grpc.server_interceptor()]
    send([stock.server_interceptor(), *chain] if beside else chain, "servicer")  # type: ignore[no-untyped-call]
    telemetry.wait(server_spans)
    (found,) = telemetry.logs
    assert found.log_record.event_name == "rpc.server.call.exception"


def call_one(behavior: Any, **settings: Any) -> None:
    """Send one RPC to a server of one method."""
    pool = futures.ThreadPoolExecutor(1)
    server = grpc.server(pool, interceptors=[everylayer_grpc.server_interceptor(**settings)])
    method: dict[str, Any] = {"M": grpc.unary_unary_rpc_method_handler(behavior)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("one.S", method),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary("/one.S/M")
        rpc.future(b"").exception()
    server.stop(None).wait(5)
    pool.shutdown()


def test_a_wrong_setting_is_said_at_once() -> None:
    with pytest.raises(SettingsError):
        everylayer_grpc.server_interceptor(no_such_setting=1)


def test_nothing_is_kept_of_an_rpc_that_failed(telemetry: Telemetry) -> None:
    class Kept(ValueError):
        pass

    gone: list[weakref.ref[Kept]] = []

    def fail(request: bytes, context: Any) -> bytes:
        error = Kept("kept")
        gone.append(weakref.ref(error))
        raise error

    call_one(fail)
    telemetry.wait(server_spans)
    gc.collect()
    assert [ref() for ref in gone] == [None]


def test_no_code_covers_servers_made_from_then_on(telemetry: Telemetry) -> None:
    ours = EveryLayerGrpcInstrumentor()
    theirs = GrpcInstrumentorServer()  # type: ignore[no-untyped-call]
    for first, second in ((ours, theirs), (theirs, ours)):
        telemetry.clear()
        first.instrument()
        second.instrument()
        try:
            send(layers(), "converted")
        finally:
            second.uninstrument()
            first.uninstrument()
        check(telemetry.wait(server_spans), PLAIN, BY_PLACE["converted"].expected)
    telemetry.clear()
    send(layers(), "converted")
    assert telemetry.spans == ()


def test_what_is_patched_is_put_back() -> None:
    patches.install()
    patches.install_client()
    patched = sync_server._Server.__init__
    patches.remove()
    try:
        assert sync_server._Server.__init__ is not patched
        assert sync_server._Server.__init__.__module__ == "grpc._server"
        assert aio.insecure_channel.__module__ == "grpc.aio._channel"
        assert stock._client.OpenTelemetryClientInterceptor.intercept_unary.__closure__ is None
    finally:
        patches.install()
        patches.install_client()


def test_what_others_have_put_around_the_seams_since_stays(telemetry: Telemetry) -> None:
    patches.remove()
    original = sync_server._Server.__init__
    patches.install()
    ours = sync_server._Server.__init__
    made: list[Any] = []

    @functools.wraps(ours)
    def theirs(self: Any, *args: Any, **named: Any) -> None:
        made.append(self)
        ours(self, *args, **named)

    sync_server._Server.__init__ = theirs  # type: ignore[method-assign]
    try:
        patches.remove()
        assert sync_server._Server.__init__ is theirs
        patches.claim(Settings())
        send(layers(), "converted")
        assert (len(made), telemetry.spans) == (1, ())
        patches.install()
        send(layers(), "converted")
        assert len(made) == 2
        assert len(error_events(telemetry.wait(server_spans))) == 1
        patches.remove()
        assert sync_server._Server.__init__ is theirs
    finally:
        patches.claim(None)
        sync_server._Server.__init__ = original  # type: ignore[method-assign]
        patches.install()
        patches.install_client()


def test_where_the_server_is_not_what_it_was_the_interceptor_is_a_seam_at_its_place(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logging.disable(logging.NOTSET)
    patches.remove()
    original = sync_server._Server.__init__

    def changed(self: Any, *, everything: Any) -> None: ...

    with monkeypatch.context() as patched:
        patched.setattr(sync_server._Server, "__init__", changed)
        ours = everylayer_grpc.server_interceptor()
    assert "grpc._server._Server" in caplog.text
    logging.disable(logging.CRITICAL)
    assert sync_server._Server.__init__ is original
    for place in ("before", "servicer"):
        telemetry.clear()
        send([ours, grpc_sync.Raiser()], place)
        spans = telemetry.wait(server_spans)
        (event,) = server_span(spans).events
        assert (event.attributes or {})["exception.type"] == "ValueError"
        assert server_span(spans).status.description == "plain fault"
    patches.install()


def test_a_list_of_what_is_no_interceptor_is_grpcs_to_refuse() -> None:
    async def serve() -> None:
        wrong: Any = object()
        aio.server(interceptors=[everylayer_grpc.aio_server_interceptor(), wrong])

    with pytest.raises(ValueError, match="Interceptor must be"):
        asyncio.run(serve())


def test_the_callers_list_is_left_as_it_was() -> None:
    chain = [everylayer_grpc.server_interceptor(), grpc_sync.PassThrough()]
    kept = list(chain)
    with grpc_sync.serving(chain):
        assert chain == kept


def test_an_interceptor_serves_without_a_patch_of_its_own() -> None:
    seam = ServerSeam(Settings())
    assert seam.intercept_service(lambda details: None, _Details()) is None


class _Details:
    method = "/one.S/M"
    invocation_metadata = ()
