"""A client's helper links the local error to the remote one, and changes nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import requests
import requests.adapters
import urllib3

import everylayer.clients
from contract.telemetry import Telemetry, error_events
from everylayer import clients
from everylayer.boundaries.error_context import ErrorContext, Hop, render
from services_kit import attributes_of, serve

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ORIGIN = Hop("stock.errors.Locked", "lookup", "stock", TRACE, SPAN, 2)
SAID = render(ErrorContext((Hop("shop.Down", "view", "orders"), ORIGIN), 3))
UPSTREAM = "everylayer.upstream."


class Answers(BaseHTTPRequestHandler):
    """Answers `/503` with that status, and says where its error began."""

    said = SAID
    log: tuple[str, ...] = ()

    def do_GET(self) -> None:
        status = int(self.path[1:4])
        self.send_response(status)
        if "silent" not in self.path:
            self.send_header("x-error-context", self.said)
        if "counted" in self.path:
            self.send_header("x-envoy-attempt-count", "3")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def with_httpx(url: str) -> None:
    with clients.httpx.attach(httpx.Client()) as client:
        client.get(url).raise_for_status()


def with_async_httpx(url: str) -> None:
    async def ask() -> None:
        async with clients.httpx.attach(httpx.AsyncClient()) as client:
            (await client.get(url)).raise_for_status()

    asyncio.run(ask())


def with_requests(url: str) -> None:
    with clients.requests.attach(requests.Session()) as session:
        session.get(url).raise_for_status()


def with_urllib3(url: str) -> None:
    with clients.urllib3.attach(urllib3.PoolManager()) as manager:
        response = manager.request("GET", url, retries=False)
        if response.status >= 500:
            raise LookupError("no stock")


def with_a_pool(url: str) -> None:
    parsed = urllib3.util.parse_url(url)
    with urllib3.HTTPConnectionPool(str(parsed.host), parsed.port) as pool:
        response = clients.urllib3.attach(pool).request("GET", parsed.path or "/", retries=False)
        if response.status >= 500:
            raise LookupError("no stock")


CLIENTS = {
    "httpx": with_httpx,
    "httpx-async": with_async_httpx,
    "requests": with_requests,
    "urllib3": with_urllib3,
    "urllib3-pool": with_a_pool,
}
each = pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)


def upstream_of(telemetry: Telemetry, view: Callable[[], None]) -> dict[str, Any]:
    """Serve `view`, and return what its one error says of another service."""

    def shown() -> str:
        view()
        return "fine"

    assert serve("flask", shown)().status_code == 500
    (event,) = error_events(telemetry.spans)
    found = attributes_of(event)
    return {k.removeprefix(UPSTREAM): v for k, v in found.items() if k.startswith(UPSTREAM)}


@each
def test_an_error_raised_for_a_response_names_its_origin(
    telemetry: Telemetry, url: str, ask: Callable[[str], None]
) -> None:
    assert upstream_of(telemetry, lambda: ask(f"{url}/503")) == {
        "type": ORIGIN.type,
        "layer": ORIGIN.layer,
        "service": "stock",
        "services": ("orders", "stock"),
        "trace_id": TRACE,
        "span_id": SPAN,
        "hops": 5,
    }
    (event,) = error_events(telemetry.spans)
    (link,) = event.span.links
    assert link.context.trace_id == int(TRACE, 16)
    assert link.context.span_id == int(SPAN, 16)
    assert dict(link.attributes or {}) == {"everylayer.link": "upstream"}
    assert (event.span.attributes or {})[f"{UPSTREAM}service"] == "stock"


@each
def test_the_attempts_of_a_proxy_are_told(
    telemetry: Telemetry, url: str, ask: Callable[[str], None]
) -> None:
    assert upstream_of(telemetry, lambda: ask(f"{url}/503/counted"))["attempts"] == 3


@each
def test_what_the_app_makes_of_it_names_it_too(
    telemetry: Telemetry, url: str, ask: Callable[[str], None]
) -> None:
    def translates() -> None:
        try:
            ask(f"{url}/503")
        except Exception as exc:
            raise KeyError("sku") from exc

    assert upstream_of(telemetry, translates)["service"] == "stock"


@each
@pytest.mark.parametrize("path", ["503/silent", "404"])
def test_no_origin_is_made_up(
    telemetry: Telemetry, url: str, ask: Callable[[str], None], path: str
) -> None:
    def fails() -> None:
        ask(f"{url}/{path}")
        raise LookupError

    assert upstream_of(telemetry, fails) == {}


@each
def test_an_error_that_has_nothing_to_do_with_the_response_names_none(
    telemetry: Telemetry, url: str, ask: Callable[[str], None]
) -> None:
    def recovers() -> None:
        with contextlib.suppress(Exception):
            ask(f"{url}/503")
        raise KeyError("something else")

    assert upstream_of(telemetry, recovers) == {}


@pytest.mark.parametrize(
    "said",
    [
        *("", "garbage", "v=1", "v=1,type=", "v=9" * 4000, "v=1,type=%00%0d%0a%zz;trace=zz"),
        f"v=1,type=a.B;trace={'0' * 32};span={'0' * 16}",
    ],
)
def test_a_hostile_answer_changes_nothing(
    telemetry: Telemetry, url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "said", said)
    with pytest.raises(httpx.HTTPStatusError):
        with_httpx(f"{url}/503")
    found = upstream_of(telemetry, lambda: with_httpx(f"{url}/503"))
    assert "trace_id" not in found
    assert not error_events(telemetry.spans)[0].span.links


def test_a_secret_in_a_message_is_redacted(
    telemetry: Telemetry, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hop = ORIGIN._replace(message="password=hunter2secret for bob")
    monkeypatch.setattr(Answers, "said", render(ErrorContext((hop,))))
    found = upstream_of(telemetry, lambda: with_requests(f"{url}/500"))
    assert found["message"].endswith("for bob")
    assert "hunter2" not in found["message"]


def test_only_the_hosts_that_are_named_are_listened_to(telemetry: Telemetry, url: str) -> None:
    def elsewhere() -> None:
        with clients.httpx.attach(httpx.Client(), hosts=["*.internal"]) as client:
            client.get(f"{url}/503").raise_for_status()

    def there() -> None:
        with clients.httpx.attach(httpx.Client(), hosts=["127.0.*"]) as client:
            client.get(f"{url}/503").raise_for_status()

    assert upstream_of(telemetry, elsewhere) == {}
    telemetry.clear()
    assert upstream_of(telemetry, there)["service"] == "stock"


def test_a_client_that_tries_again_counts(telemetry: Telemetry, url: str) -> None:
    retries = urllib3.Retry(2, status_forcelist=[503], raise_on_status=False, redirect=0)

    def tries() -> None:
        session = clients.requests.attach(requests.Session())
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        with session:
            session.get(f"{url}/503").raise_for_status()

    assert upstream_of(telemetry, tries)["attempts"] == 3


def test_attached_twice_is_attached_once_and_detached_is_as_before() -> None:
    with httpx.Client() as client, requests.Session() as session, urllib3.PoolManager() as manager:
        for _ in range(2):
            assert clients.httpx.attach(client) is client
            assert clients.requests.attach(session) is session
            assert clients.urllib3.attach(manager) is manager
        assert len(client.event_hooks["response"]) == len(session.hooks["response"]) == 1
        clients.httpx.detach(client)
        clients.requests.detach(session)
        clients.urllib3.detach(manager)
        assert client.event_hooks["response"] == session.hooks["response"] == []
        assert "urlopen" not in vars(manager)


def test_a_hook_of_the_users_that_raises_is_linked(telemetry: Telemetry, url: str) -> None:
    def raises() -> None:
        client = httpx.Client(event_hooks={"response": [lambda r: r.raise_for_status()]})
        with clients.httpx.attach(client):
            client.get(f"{url}/503")

    assert upstream_of(telemetry, raises)["service"] == "stock"


def test_no_response_is_kept(url: str) -> None:
    with clients.httpx.attach(httpx.Client()) as client:
        gone = weakref.ref(client.get(f"{url}/503"))
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["httpx", "requests", "urllib3"])
def test_what_is_wrong_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attach = getattr(everylayer.clients, name).attach
    with pytest.raises(TypeError, match="it got an object of int"):
        attach(1)
    with pytest.raises(TypeError, match=r"not a class: attach\(dict\(\)\)"):
        attach(dict)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"pip install {name}"):
        attach(object())


def test_hosts_are_a_list() -> None:
    with httpx.Client() as client, pytest.raises(TypeError, match="must be a list of host names"):
        clients.httpx.attach(client, hosts="internal")  # type: ignore[arg-type]
