"""A request's tenant under every framework: where it is known and told, and when it is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

import everylayer
import tenant_apps
from contract.drive import call_asgi, environ, run_wsgi, scope
from contract.telemetry import Telemetry, error_events
from contract.versions import STREAMS_FAIL_IN_GROUPS
from everylayer import Settings, SettingsError, TenantRequest
from everylayer.boundaries import shards, tenant_source
from tenant_apps import KINDS, serving

ACME = [("X-Tenant-ID", "acme")]
KEY = "app.tenant.id"

stock = pytest.mark.parametrize("stock", [True, False], ids=["stock", "own"])
kinds = pytest.mark.parametrize("kind", KINDS)


def server(telemetry: Telemetry) -> ReadableSpan:
    (found,) = [span for span in telemetry.spans if span.kind is SpanKind.SERVER]
    return found


def named(span: ReadableSpan) -> Any:
    return (span.attributes or {}).get(KEY)


@stock
@kinds
def test_the_code_and_the_span_know_it(kind: str, stock: bool, telemetry: Telemetry) -> None:
    with serving(kind, stock=stock, tenant="header") as serve:
        assert serve("/tell", ACME).body == b"acme"
    # Without stock, a request that works has a span of ours wherever it can be begun beforehand.
    assert {named(s) for s in telemetry.spans if s.kind is SpanKind.SERVER} <= {"acme"}
    assert not stock or named(server(telemetry)) == "acme"
    assert everylayer.tenant() is None


@stock
@kinds
def test_its_errors_name_it(kind: str, stock: bool, telemetry: Telemetry) -> None:
    with serving(kind, stock=stock, tenant="header") as serve:
        serve("/fail", ACME)
        assert named(server(telemetry)) == "acme"
        (error,) = error_events(telemetry.spans)
        assert error.event.attributes is not None
        assert error.event.attributes[KEY] == error.event.attributes["exception.message"] == "acme"
        telemetry.clear()
        serve("/fail")
        (error,) = error_events(telemetry.spans)
        assert KEY not in (error.event.attributes or {})
        assert named(server(telemetry)) is None


@stock
@kinds
def test_a_body_is_made_for_it(kind: str, stock: bool, telemetry: Telemetry) -> None:
    with serving(kind, stock=stock, tenant="header") as serve:
        assert serve("/stream", ACME).body == b"acme,acme"
        telemetry.clear()
        assert serve("/stream?fails=1", ACME).body == b"acme,"
    assert everylayer.tenant() is None
    errors = error_events(telemetry.spans)
    assert [(e.event.attributes or {})[KEY] for e in errors] == ["acme"]
    # Late children too.
    assert {named(error.span) for error in errors} == {"acme"}


@pytest.mark.parametrize("kind", ["starlette", "asgi"])
def test_background_work_is_done_for_it(kind: str, telemetry: Telemetry) -> None:
    tenant_apps.AFTER.clear()
    with serving(kind, tenant="header") as serve:
        assert serve("/background", ACME).body == b"acme"
    assert tenant_apps.AFTER == ["acme"]
    (error,) = error_events(telemetry.spans)
    assert (error.event.attributes or {})[KEY] == "acme"


def test_what_fails_when_the_tenant_is_gone_takes_it_from_the_span(telemetry: Telemetry) -> None:
    with serving("django-wsgi", tenant="header") as serve:
        assert serve("/closes", ACME).body == b"acme"
    (error,) = error_events(telemetry.spans)
    values = error.event.attributes or {}
    assert (values["exception.message"], values[KEY]) == ("closed for None", "acme")
    assert error.span.name.endswith("(late)")
    assert named(error.span) == "acme"


@kinds
def test_switched_off_it_is_nobodys(kind: str, telemetry: Telemetry) -> None:
    with serving(kind) as serve:
        assert serve("/tell", ACME).body == b"None"
        serve("/fail", ACME)
    assert {named(span) for span in telemetry.spans} == {None}


@kinds
def test_a_span_id_lies_in_its_shard(
    kind: str, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server span's too: it begins within the seam."""
    generator = everylayer.TenantIdGenerator(shards=256)
    # Tracers keep the provider's own.
    known: Any = telemetry.provider.id_generator
    monkeypatch.setattr(known, "generate_span_id", generator.generate_span_id)
    with serving(kind, tenant="header") as serve:
        for url in ("/tell", "/fail", "/stream?fails=1"):
            serve(url, ACME)
    ids = [span.context.span_id for span in telemetry.spans if span.context is not None]
    assert len(ids) >= 3
    found = {shards.shard_of(span_id, 256) for span_id in ids}
    assert found == {generator.shard_of("acme")}


@kinds
def test_a_resolver_sees_the_same_of_each_framework(kind: str, telemetry: Telemetry) -> None:
    asked: list[TenantRequest] = []

    def of_plan(request: TenantRequest) -> str:
        asked.append(request)
        return f"{request.host}-{request.headers['X-Plan']}"

    headers = [("X-Plan", "gold")]
    with serving(kind, tenant="resolver", tenant_resolver=of_plan) as serve:
        serve("/tell?q=1", headers)
    (request,) = asked
    assert request.path == "/tell"
    assert request.peer == "127.0.0.1"
    assert request.headers["X-Plan"] == request.headers["x-plan"] == "gold"
    assert {"host", "x-plan"} <= set(request.headers)
    assert request.headers.get("X-None") is None
    assert not request.trusted
    assert named(server(telemetry)) == "127.0.0.1-gold"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("globex.shop.example:8443", "globex.shop.example"),
        ("shop.example", "shop.example"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
    ],
)
def test_a_host_has_no_port(host: str, name: str) -> None:
    carriers: list[dict[str, Any]] = [
        {"REQUEST_METHOD": "GET", "HTTP_HOST": host, "SCRIPT_NAME": "/\xc3\xbc", "PATH_INFO": "/a"},
        {"type": "http", "path": "/ü/a", "headers": [(b"Host", host.encode())]},
    ]
    for carrier in carriers:
        request = TenantRequest(carrier)
        assert (request.host, request.path, request.peer) == (name, "/ü/a", "")
        assert list(request.headers) == ["host"]
        assert len(request.headers) == 1


@kinds
def test_a_resolver_that_fails_costs_the_tenant_alone(
    kind: str, failures: dict[str, int], telemetry: Telemetry
) -> None:
    def broken(request: TenantRequest) -> str:
        raise LookupError(request.path)

    with serving(kind, tenant="resolver", tenant_resolver=broken) as serve:
        assert serve("/tell", ACME).body == b"None"
        assert serve("/tell", ACME).status == 200
    ((place, count),) = failures.items()
    assert place.startswith("tenant_resolver")
    assert count == 2


@pytest.mark.parametrize("answer", [None, "", 7, b"acme", "a b", "x" * 129, "ünder"])
def test_a_resolver_may_say_that_there_is_none(answer: Any, telemetry: Telemetry) -> None:
    rules = {"tenant": "resolver", "tenant_resolver": lambda request: answer}
    with serving("flask", **rules) as serve:
        assert serve("/tell").body == b"None"


def test_a_resolver_may_be_named(telemetry: Telemetry) -> None:
    with serving("flask", tenant="resolver", tenant_resolver="tenant_apps:resolved") as serve:
        assert serve("/tell").body == b"by-name"


async def _coroutine(request: TenantRequest) -> str:
    return "acme"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"tenant": "resolver"}, "tenant_resolver is ''"),
        ({"tenant": "resolver", "tenant_resolver": "nowhere:f"}, "No module named 'nowhere'"),
        ({"tenant": "resolver", "tenant_resolver": "os:nothing"}, "no attribute 'nothing'"),
        ({"tenant": "resolver", "tenant_resolver": "os:sep"}, "a function that returns"),
        ({"tenant": "resolver", "tenant_resolver": _coroutine}, "not a coroutine"),
        ({"tenant": "header", "tenant_header": "X Tenant"}, "tenant_header is 'X Tenant'"),
        ({"tenant": "header", "tenant_baggage": "a=b"}, "tenant_baggage is 'a=b'"),
        ({"tenant": "cookie"}, "one of off, header, resolver"),
        ({"tenant_shards": 1000}, "a power of two"),
        ({"tenant_shards": 131072}, "a power of two"),
        ({"tenant_shards": 1}, "at least 2"),
    ],
)
def test_what_cannot_work_stops_the_app_at_its_start(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as found:
        Settings(**rules)
    assert said in str(found.value)


HOSTILE = ["", " ", "a b", "a,b", "-acme", "ac\x00me", "x" * 129, "x" * 100_000, "ac%6de", "ünder"]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@kinds
def test_a_hostile_header_is_no_tenant(kind: str, value: str, telemetry: Telemetry) -> None:
    with serving(kind, stock=False, tenant="header") as serve:
        assert serve("/tell", [("X-Tenant-ID", value)]).body == b"None"
        assert serve("/tell", [("X-Tenant-ID", f" {'a' * 128}\t")]).body == b"a" * 128


@settings(deadline=None)
@given(value=st.binary(max_size=300), again=st.none() | st.binary(max_size=40))
def test_no_header_fails(value: bytes, again: bytes | None) -> None:
    policy = tenant_source.policy_of(Settings(tenant="header", tenant_baggage="t"))
    assert policy is not None
    lines = [(b"x-tenant-id", value), *([] if again is None else [(b"x-tenant-id", again)])]
    for carrier in (
        {"type": "http", "headers": lines},
        {"REQUEST_METHOD": "GET", "HTTP_X_TENANT_ID": value.decode("latin-1")},
        {"type": "http", "headers": [(b"baggage", value)]},
    ):
        found = policy.tenant_of(carrier)
        assert found == "" or (found.isascii() and len(found) <= 128 and found.isprintable())
        assert not set(found) & set(', ;=%"\\\r\n\t')
    clean = value.strip(b" \t").decode("latin-1")
    if again not in (None, value):
        clean = ""
    expected = clean if clean and clean.isascii() and tenant_source.checked(clean) else ""
    assert policy.tenant_of({"type": "http", "headers": lines}) == expected


def test_two_headers_that_differ_are_none(telemetry: Telemetry) -> None:
    with serving("starlette", tenant="header") as serve:
        assert serve("/tell", [*ACME, ("x-tenant-id", "globex")]).body == b"None"
        assert serve("/tell", [*ACME, *ACME]).body == b"acme"


@kinds
def test_trusted_peers_are_those_whose_claims_count(kind: str, telemetry: Telemetry) -> None:
    carried = [("baggage", "shop.tenant=globex,other=1")]
    rules = {"tenant": "header", "tenant_baggage": "shop.tenant"}
    with serving(kind, **rules) as serve:
        assert serve("/tell", carried).body == b"None", "nobody's baggage, without a rule"
        assert serve("/tell", [*carried, *ACME]).body == b"acme"
    with serving(kind, **rules, trusted_peers=["127.0.0.0/8"]) as serve:
        assert serve("/tell", carried).body == b"globex"
        assert serve("/tell", [*carried, *ACME]).body == b"acme", "the header wins"
    with serving(kind, **rules, trusted_peers=["10.0.0.0/8"]) as serve:
        assert serve("/tell", carried).body == b"None"
        assert serve("/tell", ACME).body == b"None"


def test_a_resolver_knows_whether_its_peer_is_trusted(telemetry: Telemetry) -> None:
    rules: dict[str, Any] = {
        "tenant": "resolver",
        "tenant_resolver": lambda request: "friend" if request.trusted else "stranger",
    }
    with serving("flask", **rules, trusted_peers=["127.0.0.0/8"]) as serve:
        assert serve("/tell").body == b"friend"
    with serving("flask", **rules) as serve:
        assert serve("/tell").body == b"stranger"


@pytest.fixture
def outgoing(telemetry: Telemetry) -> Iterator[None]:
    before = propagate.get_global_textmap()
    yield
    propagate.set_global_textmap(before)


@pytest.mark.usefixtures("outgoing")
def test_it_goes_on_under_the_key_that_is_allowed() -> None:
    sent: list[dict[str, str]] = []

    def resolver(request: TenantRequest) -> str:
        return request.headers.get("x-tenant-id", "")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        forged = baggage.set_baggage("shop.tenant", "forged", baggage.set_baggage("k", "v"))
        carrier: dict[str, str] = {}
        propagate.inject(carrier, forged)
        sent.append(carrier)
        token = context.attach(baggage.set_baggage("mine", "1"))
        propagate.inject(carrier := {})
        context.detach(token)
        sent.append(carrier)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    made = tenant_apps.everylayer_starlette.EveryLayerMiddleware(
        app, tenant="resolver", tenant_resolver=resolver, tenant_baggage="shop.tenant"
    )
    asyncio.run(call_asgi(made, scope("/", ACME)))
    asyncio.run(call_asgi(made, scope("/")))
    found = [set(carrier["baggage"].split(",")) for carrier in sent]
    assert found == [
        {"k=v", "shop.tenant=acme"},
        {"mine=1", "shop.tenant=acme"},
        {"k=v"},  # In a request without a tenant a claim that nobody took does not go on.
        {"mine=1"},
    ]
    outside: dict[str, str] = {}
    propagate.inject(outside, baggage.set_baggage("shop.tenant", "of-a-job"))
    assert outside["baggage"] == "shop.tenant=of-a-job"


def test_an_app_within_an_app_asks_once(telemetry: Telemetry) -> None:
    asked: list[str] = []

    def resolver(request: TenantRequest) -> str:
        asked.append(request.path)
        return "outer"

    rules: dict[str, Any] = {"tenant": "resolver", "tenant_resolver": resolver}
    inner = tenant_apps.starlette_app(rules, stock=False)
    outer = tenant_apps.everylayer_starlette.EveryLayerMiddleware(inner, **rules)
    for _ in range(2):
        request = scope("/tell")
        assert asyncio.run(call_asgi(outer, request)).body == b"outer"
    assert asked == ["/tell", "/tell"]
    flask = tenant_apps.flask_app(rules, stock=False)
    made = environ("/tell")
    layered = tenant_apps.everylayer_flask.EveryLayerMiddleware(flask, **rules)
    # The same environ twice, as test clients do: nothing of the first is left in it.
    assert [run_wsgi(layered, made).body for _ in range(2)] == [b"outer", b"outer"]
    assert len(asked) == 4


def test_spans_of_one_that_began_further_out_are_marked(telemetry: Telemetry) -> None:
    tracer = trace.get_tracer("app")
    with (
        tracer.start_as_current_span("GET /", kind=SpanKind.SERVER),
        serving("starlette", stock=False, tenant="header") as serve,
    ):
        serve("/tell", ACME)
    assert named(server(telemetry)) == "acme"


def test_work_without_a_request_says_for_whom_it_is(telemetry: Telemetry) -> None:
    from everylayer.boundaries.tenant_spans import equip

    equip(telemetry.provider)
    tracer = trace.get_tracer("jobs")
    with everylayer.use_tenant("acme"):
        with tracer.start_as_current_span("nightly"):
            everylayer.record(ValueError("no rates"), handled=True)
        with everylayer.use_tenant(None):
            assert everylayer.tenant() is None
        assert everylayer.tenant() == "acme"
    assert everylayer.tenant() is None
    (span,) = telemetry.spans
    assert named(span) == (error_events([span])[0].event.attributes or {})[KEY] == "acme"
    for wrong in ("", "a b", "x" * 129):
        with pytest.raises(ValueError, match="cannot be a tenant"):
            everylayer.use_tenant(wrong).__enter__()


NAMES = [None, *(f"t{number}" for number in range(25))]


def plan(count: int, seed: int) -> list[tuple[str | None, str]]:
    chance = random.Random(seed)
    urls = ["/tell", "/tell?wait=0.0005", "/fail", "/stream", "/stream?fails=1"]
    return [(chance.choice(NAMES), chance.choice(urls)) for _ in range(count)]


def verdict(name: str | None, url: str, body: bytes) -> bool:
    said = str(name).encode()
    if url.startswith("/tell"):
        return body == said
    if url.startswith("/stream"):
        return body in (said + b"," + said, said + b",")
    return True


# An error of a body does not name its tenant; an older Starlette hands it on within a group.
OF_STREAMS = ["in the body"]
if STREAMS_FAIL_IN_GROUPS:
    OF_STREAMS.append("unhandled errors in a TaskGroup (1 sub-exception)")


def check_spans(telemetry: Telemetry, asked: list[tuple[str | None, str]]) -> None:
    """Each error's own message tells whose it was, and so must its event and its span."""
    errors = [e for e in error_events(telemetry.spans) if e.event.name == "exception"]
    assert len(errors) == sum("fail" in url for _, url in asked)
    for span, event in errors:
        values = event.attributes or {}
        assert named(span) == values.get(KEY)
        if values["exception.message"] not in OF_STREAMS:
            assert str(values.get(KEY)) == values["exception.message"]
    servers = [named(s) for s in telemetry.spans if s.kind is SpanKind.SERVER]
    assert sorted(map(str, servers)) == sorted(str(name) for name, _ in asked)


@pytest.mark.parametrize("kind", ["flask", "django-wsgi"])
def test_reused_threads_keep_tenants_apart(kind: str, telemetry: Telemetry) -> None:
    asked = plan(500, seed=7)
    with serving(kind, tenant="header") as serve, ThreadPoolExecutor(4) as pool:

        def one(each: tuple[str | None, str]) -> bool:
            name, url = each
            answer = serve(url, [("X-Tenant-ID", name)] if name else [])
            return everylayer.tenant() is None and verdict(name, url, answer.body)

        assert all(pool.map(one, asked))
    check_spans(telemetry, asked)


@pytest.mark.parametrize("kind", ["starlette", "asgi"])
def test_reused_tasks_keep_tenants_apart(kind: str, telemetry: Telemetry) -> None:
    asked = plan(500, seed=11)
    waiting = iter(asked)
    rules = {"tenant": "header"}
    make = {"starlette": tenant_apps.starlette_app, "asgi": tenant_apps.plain_asgi}[kind]
    app = make(rules, stock=True)

    async def worker() -> int:
        wrong = 0
        for name, url in waiting:
            answer = await call_asgi(app, scope(url, [("X-Tenant-ID", name)] if name else []))
            wrong += everylayer.tenant() is not None or not verdict(name, url, answer.body)
        return wrong

    async def main() -> list[int]:
        return await asyncio.gather(*(worker() for _ in range(20)))

    assert sum(asyncio.run(main())) == 0
    check_spans(telemetry, asked)
