"""The audit of gRPC servers: the chain that runs, and what arrives of a fault at each place."""

from __future__ import annotations

import binascii
import importlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace

import grpc_audit_apps as apps
from contract.drive_trials import Kept, all_arrived, tried
from contract.telemetry import Telemetry
from everylayer.audit.adapter import Opened
from everylayer.audit.model import (
    SHAPES,
    Answer,
    Arm,
    Request,
    Shape,
)
from everylayer.audit.plan import LOOK, walk
from everylayer.audit.target import load
from everylayer.audit.trial import run_trials
from everylayer.audit.verdict import judge
from everylayer.audit.wire import TargetError
from everylayer_grpc import patches
from everylayer_grpc.audit import GrpcAdapter

MAKERS = {"threads": apps.threads, "asyncio": apps.asynchronous}
# What a client hears where no interceptor of the app's has a say.
TOLD = {"raised": {"UNKNOWN", "UNAVAILABLE"}, "swallowed": {"OK", "UNAVAILABLE"}}


@pytest.fixture(autouse=True)
def real_servers_afterwards() -> Iterator[None]:
    yield
    from everylayer_grpc.audit.held import release

    release()
    patches.remove()


def opened(
    made: str,
    method: str = "unary_unary",
    arm: Arm = "everylayer",
    shape: Shape = "raised",
    messages: tuple[str, ...] = ("one", "two"),
) -> Opened:
    adapter = GrpcAdapter()
    adapter.prepare(arm)
    app = MAKERS[made]()
    assert adapter.claims(app)
    given = messages if method.startswith("stream") else messages[:1]
    adapter.aim(Request(path=f"/{apps.SERVICE}/{method}", messages=given))
    found = adapter.open(app, arm, shape)
    assert found.request is not None
    return found


@pytest.mark.parametrize("made", MAKERS)
def test_the_chain_is_read_in_order(made: str) -> None:
    nodes = opened(made).chain.nodes
    names = [node.name for node in walk(nodes) if node.kind != "instrumentation"]
    methods = [f"{'Aio' if made == 'asyncio' else ''}Kinds.{kind}" for kind in apps.KINDS]
    inside = {
        "threads": [
            *("Handing", "Around", "Around.around", "Converting", "Converting.converted"),
            *("Around", "Around.around"),
        ],
        "asyncio": ["AioHanding", "AioAround", "AioAround.around"],
    }
    assert names == [*inside[made], apps.SERVICE, *methods]
    seams = [node.seam for node in walk(nodes) if node.kind != "instrumentation"]
    # Right inside stock's stands a probe, and none inside an interceptor that hands errors on.
    assert seams[0] == "a probe around it"
    assert seams[1].startswith("no probe")
    added = [node.name for node in nodes if node.kind == "instrumentation"]
    assert len(added) == 2
    assert "Seam" in added[0]
    assert added[1].startswith("OpenTelemetry")


@pytest.mark.parametrize("made", MAKERS)
def test_each_arm_has_the_same_places(made: str) -> None:
    arms: tuple[Arm, ...] = ("bare", "stock", "everylayer")
    found = [opened(made, arm=arm).chain.points.keys() for arm in arms]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) >= 10


@pytest.mark.parametrize("method", apps.KINDS)
@pytest.mark.parametrize("made", MAKERS)
def test_every_fault_arrives(made: str, method: str, telemetry: Telemetry) -> None:
    kept = Kept(telemetry)
    for shape in SHAPES if method == "unary_unary" else SHAPES[:1]:
        bare = tried(opened(made, method, "bare", shape), "bare", shape, kept)
        ours = tried(opened(made, method, "everylayer", shape), "everylayer", shape, kept)
        reached = all_arrived(bare, ours)
        assert ours[LOOK].answer.code == "OK"
        assert len(reached) >= (12 if made == "threads" else 8)
        for fault in reached:
            assert bare[fault].answer.code in TOLD.get(shape, TOLD["raised"])


def test_stock_alone_loses_what_an_interceptor_raises(telemetry: Telemetry) -> None:
    kept = Kept(telemetry)
    trials = tried(opened("threads", arm="stock"), "stock", "raised", kept)
    fault = next(fault for fault in trials if (fault.node, fault.phase) == ("0", "before"))
    answer = trials[fault].answer
    verdict = judge(fault, (answer, answer), trials[fault])
    assert verdict.event is False
    assert verdict.why[0].startswith("no server span")


def test_a_fault_is_put_into_the_one_of_two_equal_interceptors(telemetry: Telemetry) -> None:
    trials = tried(opened("threads"), "everylayer", "raised", Kept(telemetry))
    codes = {fault.node: t.answer.code for fault, t in trials.items() if fault.phase == "before"}
    # The outer one stands outside of what converts.
    assert (codes["1.0"], codes["3.0"]) == ("UNKNOWN", "UNAVAILABLE")


def test_a_message_arrives_as_it_was_given(tmp_path: Path, telemetry: Telemetry) -> None:
    file = tmp_path / "message.bin"
    file.write_bytes(b"\x00\xff")
    answers = []
    for message in ("text", "hex: 74 65 78 74", f"@{file}"):
        app = opened("threads", messages=(message,))
        assert app.request is not None
        (look,) = run_trials(app, app.request, [LOOK], "everylayer", Kept(telemetry))
        answers.append(look.answer)
    assert answers[0] == answers[1] != answers[2]
    assert answers[2].size == len(b"re:\x00\xff")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(path="/kinds.Kinds/unary"), "no method kinds.Kinds/unary; there is kinds.Kinds/"),
        (Request(messages=("hex:xy",)), "is not hexadecimal"),
        (Request(messages=("@/nowhere/at-all",)), "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_sent_is_told(request_: Request, says: str) -> None:
    adapter = GrpcAdapter()
    adapter.prepare("everylayer")
    server = apps.threads()
    adapter.aim(request_)
    with pytest.raises(TargetError, match=says):
        adapter.open(server, "everylayer", "raised")


def test_the_first_method_is_called_without_being_named() -> None:
    adapter = GrpcAdapter()
    adapter.prepare("everylayer")
    app = adapter.open(apps.threads(), "everylayer", "raised")
    assert app.request == Request(
        method="POST", path=f"/{apps.SERVICE}/unary_unary", messages=("hex:",)
    )


def test_json_becomes_the_message_of_the_method() -> None:
    wrappers_pb2: Any = importlib.import_module("google.protobuf.wrappers_pb2")

    from everylayer_grpc.audit.methods import encoded

    handler: Any = grpc.unary_unary_rpc_method_handler(
        print, request_deserializer=wrappers_pb2.StringValue.FromString
    )
    made = wrappers_pb2.StringValue(value="tea").SerializeToString()
    assert encoded('"tea"', handler) == made
    assert encoded(f"hex:{binascii.hexlify(made).decode()}", handler) == made
    with pytest.raises(TargetError, match="no StringValue in JSON"):
        encoded("{", handler)


def test_no_port_is_opened_by_what_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = GrpcAdapter()
    adapter.prepare("everylayer")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.syspath_prepend(Path(__file__).parent)
        found, server = load("grpc_audit_apps:serve()", False, [adapter])
    assert found is adapter
    assert isinstance(server, grpc.Server)
    assert server.add_insecure_port("[::]:50052") == 50052
    assert server.stop(None).is_set()


def test_a_function_that_makes_a_server_may_be_async(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = GrpcAdapter()
    adapter.prepare("everylayer")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    _, server = load("grpc_audit_apps:make()", False, [adapter])
    assert isinstance(server, grpc.aio.Server)
    assert adapter.open(server, "everylayer", "raised").interface == "asyncio"


def test_an_ordinary_server_is_not_touched_afterwards(telemetry: Telemetry) -> None:
    opened("threads")
    server: Any = apps.threads()
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.unary_unary(f"/{apps.SERVICE}/unary_unary")
        assert call(b"me", timeout=10) == b"re:me"
    server.stop(None).wait()
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_an_answer_says_its_code() -> None:
    assert Answer(status=503, code="UNAVAILABLE").said == "UNAVAILABLE"
    assert Answer(status=503).said == "503"
    assert Answer().said == ""
