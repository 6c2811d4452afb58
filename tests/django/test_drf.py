"""Django REST framework: what its views catch is on the request's span all the same."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client
from django.test.utils import override_settings
from opentelemetry.trace import StatusCode

from contract import drive
from contract.responses import Run, same
from contract.telemetry import Telemetry, error_events, server_span
from djangoapp.serve import ENTRY, stock_instrumentation
from everylayer_django import patches

rest_framework = pytest.importorskip("rest_framework")

REST = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}


class Seen(NamedTuple):
    """One exception event, as far as a case tells."""

    type: str
    layer: str
    kind: str
    handled: bool


CRASH = Seen("ConnectionError", "Order", "view", False)
HANDLED = CRASH._replace(handled=True)
API = "rest_framework.exceptions."


def hook(cls: str, layer: str, *, handled: bool = True) -> Seen:
    return Seen(cls, layer, "hook", handled)


# What is asked for, EXCEPTION_HANDLER (the framework's own where there is none), the status, the
# event.
CASES: list[tuple[str, str, int, Seen | None]] = [
    ("/orders/ok", "", 200, None),
    # Nobody answers it: Django does.
    ("/orders/crash", "", 500, CRASH),
    ("/orders/crash", "answers_nothing", 500, CRASH),
    ("/orders/crash", "answers_500", 500, CRASH),
    ("/orders/crash", "answers_200", 200, HANDLED),
    ("/orders/crash", "fails", 500, Seen("LookupError", "fails", "handler", False)),
    ("/orders/crash", "records", 500, Seen("ConnectionError", "by hand", "app", False)),
    ("/viewset", "answers_500", 500, CRASH._replace(layer="Orders")),
    ("/function", "answers_500", 500, CRASH._replace(layer="order")),
    ("/own", "answers_500", 500, CRASH._replace(layer="Own")),
    ("/orders/api", "", 500, Seen(f"{API}APIException", "Order", "view", False)),
    ("/orders/outage", "", 503, Seen("drf_api.Outage", "Order", "view", False)),
    ("/orders/outage", "answers_200", 200, Seen("drf_api.Outage", "Order", "view", True)),
    # The client's errors, by a view's word.
    ("/orders/missing", "", 404, None),
    ("/orders/http404", "", 404, None),
    ("/orders/forbidden", "", 403, None),
    ("/orders/invalid", "", 400, None),
    ("/orders/http404", "answers_nothing", 404, None),
    ("/orders/missing", "answers_nothing", 500, Seen(f"{API}NotFound", "Order", "view", False)),
    # What stands before it refuses the client.
    ("/badge/ok", "", 403, hook(f"{API}AuthenticationFailed", "Badge")),
    ("/closed/ok", "", 403, hook(f"{API}PermissionDenied", "Closed")),
    ("/closed/ok", "answers_nothing", 500, hook(f"{API}PermissionDenied", "Closed", handled=False)),
    ("/notyours/ok", "", 200, None),
    ("/notyours/object", "", 403, hook(f"{API}PermissionDenied", "NotYours")),
    ("/busy/ok", "", 429, hook(f"{API}Throttled", "Guarded.check_throttles")),
    # Or fails.
    ("/lostbadge/ok", "", 500, hook("ConnectionError", "LostBadge", handled=False)),
    ("/lostbadge/ok", "answers_500", 500, hook("ConnectionError", "LostBadge", handled=False)),
    ("/brokenrule/ok", "", 500, hook("ConnectionError", "BrokenRule", handled=False)),
    ("/brokenrule/ok", "answers_200", 200, hook("ConnectionError", "BrokenRule")),
]
IDS = [f"{path}-{handler or 'default'}" for path, handler, *_ in CASES]


@contextlib.contextmanager
def api(handler: str = "", *, ours: bool = True, stock: bool = False) -> Iterator[None]:
    rest = {**REST, "EXCEPTION_HANDLER": f"drf_api.{handler}"} if handler else REST
    rules = {"MIDDLEWARE": [ENTRY] if ours else [], "ROOT_URLCONF": "drf_api"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(override_settings(REST_FRAMEWORK=rest, **rules))
        if stock:
            stack.enter_context(stock_instrumentation())
        yield


def ask(path: str, *, asgi: bool = False) -> Run:
    if asgi:
        return drive.run_asgi(ASGIHandler(), drive.scope(path))
    return drive.run_wsgi(WSGIHandler(), drive.environ(path))


def events(telemetry: Telemetry) -> list[Seen]:
    found = []
    for one in error_events(telemetry.spans):
        told = one.event.attributes or {}
        layer, kind = told["everylayer.layer.name"], told["everylayer.layer.kind"]
        handled = bool(told["everylayer.handled"])
        found.append(Seen(str(told["exception.type"]), str(layer), str(kind), handled))
    return found


@pytest.mark.parametrize(("server", "stock"), [("wsgi", True), ("wsgi", False), ("asgi", True)])
@pytest.mark.parametrize(("path", "handler", "status", "expected"), CASES, ids=IDS)
def test_what_a_view_catches_is_told(
    path: str,
    handler: str,
    status: int,
    expected: Seen | None,
    server: str,
    stock: bool,
    telemetry: Telemetry,
) -> None:
    asgi = server == "asgi"
    with api(handler, ours=False):
        before = ask(path, asgi=asgi)
    telemetry.clear()
    with api(handler, stock=stock):
        after = ask(path, asgi=asgi)
    assert after.status == status
    same(before, after)
    assert events(telemetry) == ([expected] if expected else [])
    failed = expected is not None and not expected.handled
    code = server_span(telemetry.spans).status.status_code
    assert (code is StatusCode.ERROR) is (failed or status >= 500)


@pytest.mark.parametrize(("choice", "count"), [("all", 1), ("layers", 0), ("none", 0)])
def test_the_setting_for_a_clients_errors_holds(
    choice: str, count: int, telemetry: Telemetry
) -> None:
    with api(), override_settings(EVERYLAYER={"client_errors": choice}):
        ask("/orders/invalid")
    assert len(events(telemetry)) == count


def test_a_refusal_is_silent_where_all_are(telemetry: Telemetry) -> None:
    with api(), override_settings(EVERYLAYER={"client_errors": "none"}):
        assert ask("/closed/ok").status == 403
    assert events(telemetry) == []


@pytest.mark.parametrize("body", ["{", "{}"], ids=["parser", "serializer"])
def test_a_body_that_is_wrong_is_the_clients(body: str, telemetry: Telemetry) -> None:
    with api(stock=True):
        answer = Client().post("/orders/1", body, content_type="application/json")
    assert answer.status_code == 400
    assert error_events(telemetry.spans) == []
    assert server_span(telemetry.spans).status.is_unset


def test_another_method_and_another_format_are_the_clients(telemetry: Telemetry) -> None:
    with api(stock=True):
        assert Client().delete("/orders/1").status_code == 405
        assert Client().get("/orders/ok", headers={"accept": "text/csv"}).status_code == 406
    assert error_events(telemetry.spans) == []


def test_secrets_are_redacted(telemetry: Telemetry) -> None:
    import drf_api

    with api("answers_500"), pytest.MonkeyPatch.context() as patched:
        patched.setitem(drf_api.RAISED, "crash", lambda: OSError("password=hunter2-s3cret"))
        ask("/orders/crash")
    assert len(events(telemetry)) == 1
    assert "hunter2" not in "".join(span.to_json() for span in telemetry.spans)


def test_nothing_is_left_after_undoing() -> None:
    from django.views import View
    from rest_framework.views import APIView

    before = vars(APIView)["handle_exception"]
    for _ in range(2):
        patches.install()
        patches.install()
        ours = vars(APIView)["handle_exception"]
        assert ours is not before
        assert ours.__wrapped__ is before
        patches.uninstall()
        assert vars(APIView)["handle_exception"] is before
        assert "__init_subclass__" not in vars(View)


def test_what_is_not_as_it_was_is_left_alone(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rest_framework.views import APIView

    original = APIView.handle_exception

    def later(self: Any, exc: Exception, of_a_later_version: None = None) -> Any:
        return original(self, exc)

    monkeypatch.setattr(APIView, "handle_exception", later)
    with caplog.at_level("WARNING", "everylayer"), api("answers_500"):
        assert ask("/orders/crash").status == 500
    assert vars(APIView)["handle_exception"] is later
    (said,) = [record.getMessage() for record in caplog.records if record.name == "everylayer"]
    assert "rest_framework.views.APIView.handle_exception of djangorestframework " in said
    assert patches.LATER.why in said


def test_a_mixin_that_wants_words_for_its_subclasses_gets_them() -> None:
    from django.views import View

    class Named:
        name = ""

        def __init_subclass__(cls, name: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.name = name

    patches.install()

    class Page(Named, View, name="page"):
        """One view."""

    assert Page.name == "page"
    with pytest.raises(TypeError, match="keyword argument"):
        type("Odd", (View,), {}, unknown=1)


def test_it_waits_for_the_framework_and_does_not_load_it() -> None:
    """In a process of its own: here it is loaded already."""
    done = subprocess.run(
        [sys.executable, "-c", LATE, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "loaded by installing": False,
        "first request": [500, "ConnectionError"],
        "left": [],
    }


LATE = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from django.conf import settings
settings.configure(
    ROOT_URLCONF="drf_api", ALLOWED_HOSTS=["*"], SECRET_KEY="no", LOGGING_CONFIG=None,
    MIDDLEWARE=["everylayer_django.EveryLayerMiddleware"],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None,
        "EXCEPTION_HANDLER": "drf_api.answers_500",
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
)
import django
django.setup()
from django.test import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
client = Client()
client.handler.load_middleware()
told = {"loaded by installing": "rest_framework" in sys.modules}
answer = client.get("/viewset")
(span,) = kept.get_finished_spans()
(event,) = span.events
told["first request"] = [answer.status_code, event.attributes["exception.type"]]
from everylayer_django import patches
from rest_framework.views import APIView
patches.uninstall()
from django.views import View
told["left"] = [
    name for owner, name in ((APIView, "handle_exception"), (View, "__init_subclass__"))
    if getattr(vars(owner).get(name), "__module__", "").startswith("everylayer")
]
print(json.dumps(told))
"""
