"""What docs/security.md says of who can send what: the rows that can be tried are."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from flask import Flask
from opentelemetry import baggage

import everylayer
from contract.drive import environ, run_wsgi, scope
from contract.telemetry import Telemetry, error_events, session
from everylayer import chaos, settings, snapshot_app
from everylayer.boundaries import trust
from everylayer.clients import httpx as everylayer_httpx
from everylayer.settings import SettingsError
from everylayer_flask import EveryLayer
from pages import rows, section, text_of

TABLE = section(text_of("security.md"), "Who can send what").partition("### ")[0]
ORIGIN = "v=1,type=shop.Sold;layer=stock;service=stock"


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    for name in list(os.environ):
        if name.startswith(("EVERYLAYER_", "OTEL_")):
            monkeypatch.delenv(name)
    settings.reset()
    logging.getLogger("security").setLevel(logging.CRITICAL + 1)
    with session() as found:
        yield found
    settings.reset()


class Served:
    """A Flask app that fails; what a request of it leaves."""

    def __init__(self, telemetry: Telemetry, raises: Any = None, **rules: Any) -> None:
        self._telemetry = telemetry
        self._app = Flask("security")
        EveryLayer(self._app, **rules)
        self._app.add_url_rule("/", "view", raises or fail)

    def __call__(self, *headers: tuple[str, str]) -> dict[str, Any]:
        """Return the attributes of the error, with the response's headers under `sent`."""
        self._telemetry.clear()
        answer = run_wsgi(self._app, environ("/", headers))
        ((_, event), *_) = error_events(self._telemetry.spans)
        return {**(event.attributes or {}), "sent": dict(answer.headers)}


def fail() -> str:
    raise LookupError("no espresso")


def test_messages_are_redacted_bounded_and_valid(telemetry: Telemetry) -> None:
    def view() -> str:
        raise LookupError("password=hunter2hunter2 \ud800" + "x" * 10_000)

    said = Served(telemetry, view)()["exception.message"]
    assert "hunter2" not in said
    assert len(said.encode("utf-8")) <= 4096


def test_very_many_errors_are_eight_events(telemetry: Telemetry) -> None:
    def view() -> str:
        for number in range(100):
            everylayer.record(LookupError(str(number)), handled=True)
        raise LookupError("last")

    Served(telemetry, view)()
    assert len(error_events(telemetry.spans)) == 8


def test_baggage_comes_from_trusted_peers_alone(telemetry: Telemetry) -> None:
    request = scope("/", [("baggage", "app.plan=gold,other=1")])
    taken = {}
    for peers in ("10.0.0.0/8", "127.0.0.0/8"):
        propagator = everylayer.Propagator(baggage_keys=["app.*"], trusted_peers=[peers])
        taken[peers] = dict(baggage.get_all(propagator.extract(request)))
    assert taken == {"10.0.0.0/8": {}, "127.0.0.0/8": {"app.plan": "gold"}}


def test_a_tenant_is_a_claim(telemetry: Telemetry) -> None:
    claim = ("x-tenant-id", "acme")
    assert "app.tenant.id" not in Served(telemetry)(claim)
    assert Served(telemetry, tenant="header")(claim)["app.tenant.id"] == "acme"
    strangers = Served(telemetry, tenant="header", trusted_peers=["10.0.0.0/8"])
    assert "app.tenant.id" not in strangers(claim)
    for hostile in ("a" * 129, "a b", "<script>", "é"):
        assert "app.tenant.id" not in Served(telemetry, tenant="header")(("x-tenant-id", hostile))


def test_a_requests_words_of_itself_are_bounded(telemetry: Telemetry) -> None:
    said = Served(telemetry)(("x-request-id", "a b"), ("x-envoy-attempt-count", "99999"))
    assert not {"everylayer.request.id", "everylayer.request.attempt"} & said.keys()
    assert "everylayer.request.id" not in Served(telemetry)(("x-request-id", "a" * 129))


def test_a_request_brings_no_error_context(telemetry: Telemetry) -> None:
    said = Served(telemetry, error_context="send")(("x-error-context", ORIGIN))
    assert not [name for name in said if name.startswith("everylayer.upstream.")]


@pytest.mark.parametrize(("hosts", "believed"), [(None, True), (["*.internal"], False)])
def test_a_response_is_believed_through_attached_clients(
    hosts: list[str] | None, believed: bool, telemetry: Telemetry
) -> None:
    answer = httpx.Response(503, headers={"x-error-context": ORIGIN})
    client = httpx.Client(transport=httpx.MockTransport(lambda _: answer))
    everylayer.configure(error_context="send")
    if hosts is None:
        everylayer_httpx.attach(client)
    else:
        everylayer_httpx.attach(client, hosts=hosts)

    def view() -> str:
        client.get("http://stock/").raise_for_status()
        return ""

    assert ("everylayer.upstream.type" in Served(telemetry, view)()) is believed


def test_our_own_error_context_is_told_to_whom_it_may(telemetry: Telemetry) -> None:
    assert "x-error-context" not in Served(telemetry)()["sent"]
    near = {"error_context": "trusted", "trusted_peers": ["127.0.0.0/8"]}
    far = {"error_context": "trusted", "trusted_peers": ["10.0.0.0/8"]}
    assert "message=no%20espresso" in Served(telemetry, **near)()["sent"]["x-error-context"]
    assert "x-error-context" not in Served(telemetry, **far)()["sent"]
    anybody = Served(telemetry, error_context="send")()["sent"]["x-error-context"]
    assert "espresso" not in anybody
    assert "Traceback" not in anybody


def test_a_proxys_word_makes_no_peer() -> None:
    request = scope("/", [("x-forwarded-for", "10.0.0.1")])
    assert not trust.trusts(("10.0.0.0/8",), request)


def ask_for_snapshot(bearer: str = "") -> tuple[int | None, bytes]:
    headers = [("authorization", f"Bearer {bearer}")] if bearer else []
    answer = run_wsgi(snapshot_app.wsgi, environ("/", headers))
    return answer.status, answer.body


def test_a_snapshot_wants_its_token(telemetry: Telemetry) -> None:
    secret = "hunter2" * 3  # a local variable, which no snapshot shows
    token = "0123456789abcdef"
    assert ask_for_snapshot()[0] == 404
    assert ask_for_snapshot("")[0] == 404
    everylayer.configure(snapshot_token=token)
    assert ask_for_snapshot()[0] == 404
    assert ask_for_snapshot(token[:-1])[0] == 404
    status, body = ask_for_snapshot(token)
    assert status == 200
    assert secret.encode() not in body
    with pytest.raises(SettingsError):
        everylayer.configure(snapshot_token="short")


def test_chaos_is_for_who_starts_the_process(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask("chaos")
    rules = [{"layer": "*", "error": "builtins.ValueError"}]
    with pytest.raises(chaos.ChaosRefused):
        chaos.start(app, {"rules": rules})
    monkeypatch.setenv("EVERYLAYER_CHAOS_ENVIRONMENT", "production")
    with pytest.raises(chaos.ChaosRefused):
        chaos.start(app, {"rules": rules})
    monkeypatch.setenv("EVERYLAYER_CHAOS_ENVIRONMENT", "staging")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=eu-prod2")
    with pytest.raises(chaos.ChaosRefused):
        chaos.start(app, {"rules": rules})


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"version": "2.0"}', "x" * 2_000_000])
def test_a_record_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(everylayer.RecordError):
        everylayer.error_from_json(data)


def test_a_pattern_without_end_and_an_unknown_setting_stop_the_app() -> None:
    with pytest.raises(SettingsError):
        everylayer.Redaction(patterns={"order": "(?P<value>(a+)+)$"})
    with pytest.raises(SettingsError):
        everylayer.configure(redact="strict")


ALONE = """
import sys
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
said = []
def hook(name, args):
    if name.startswith(("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn")):
        said.append((name, args))
    if name == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        said.append((name, args[0]))
trace.set_tracer_provider(TracerProvider())
app = Flask("alone")
app.logger.disabled = True
app.add_url_rule("/", "view", lambda: 1 / 0)
client = app.test_client()
sys.dont_write_bytecode = True
sys.addaudithook(hook)
from everylayer_flask import EveryLayer
EveryLayer(app)
assert client.get("/").status_code == 500
assert not said, said
"""


def test_it_opens_nothing_starts_nothing_and_writes_nothing() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EVERYLAYER")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], env=clean, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_each_row_says_what_protects() -> None:
    told = rows(TABLE)
    assert len(told) >= 20
    for what, who, wrong, protects, _ in told:
        assert all((what, who, wrong, protects)), what
