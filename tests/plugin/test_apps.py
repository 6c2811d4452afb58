"""The plugin in the tests of real apps: three frameworks, two workers, and an audit."""

from __future__ import annotations

import pytest

pytest_plugins = "pytester"

FLASK = """
    import pytest
    from everylayer_flask import EveryLayer
    from flask import Flask

    app = Flask(__name__)
    EveryLayer(app)

    @app.before_request
    def auth():
        raise PermissionError("no user 7")

    @app.errorhandler(PermissionError)
    def refused(error):
        return "refused", 503

    @pytest.mark.parametrize("again", range(2))
    def test_hook(again, error_spans):
        assert app.test_client().get("/").status_code == 503
        error_spans.assert_recorded(PermissionError, layer="auth", status="ERROR", message="user 7")
"""
STARLETTE = """
    import anyio
    import pytest
    from everylayer_starlette import EveryLayerMiddleware
    from httpx import ASGITransport, AsyncClient
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse

    class Recover:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            try:
                await self.app(scope, receive, send)
            except LookupError:
                await PlainTextResponse("recovered")(scope, receive, send)

    class Auth:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            await anyio.sleep(0.01)
            raise LookupError(scope["path"])

    app = Starlette(middleware=[Middleware(Recover), Middleware(Auth)])
    app.add_middleware(EveryLayerMiddleware)

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.anyio
    async def test_recovered(error_spans):
        async with AsyncClient(transport=ASGITransport(app), base_url="http://a") as client:
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(client.get, f"/{number}")
        error_spans.assert_recorded(LookupError, layer="Auth", handled=True, count=5)
        error_spans.assert_recorded(LookupError, message="/3", status="UNSET", span="GET*")
"""
DJANGO = """
    import django
    from django.conf import settings

    def refuse(get_response):
        def middleware(request):
            raise ValueError("no user 7")
        return middleware

    settings.configure(
        ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF=__name__,
        MIDDLEWARE=["everylayer_django.EveryLayerMiddleware", __name__ + ".refuse"],
    )
    django.setup()
    urlpatterns = []

    def test_middleware(error_spans):
        from django.test import Client

        assert Client(raise_request_exception=False).get("/").status_code == 500
        error_spans.assert_recorded(ValueError, layer="refuse*", status="ERROR")

    def test_the_same_again(error_spans):
        from django.test import Client

        Client(raise_request_exception=False).get("/")
        error_spans.assert_recorded(ValueError, layer="Session", wait=0)
"""
# What the audit puts is left out by the settings, so that it is lost.
SHOP = """
    import os

    from everylayer_starlette import EveryLayerMiddleware
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    with open("opened.txt", "a") as file:
        print(os.getpid(), file=file)

    class Auth:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            await self.app(scope, receive, send)

    async def index(request):
        assert request.headers["shop-key"] == "7"
        return PlainTextResponse("index")

    async def other(request):
        return PlainTextResponse("other")

    async def odd(request, error):
        return PlainTextResponse("odd")

    def make():
        ignored = ["everylayer.audit.injected.InjectedFault"]
        return Starlette(
            routes=[Route("/orders", index), Route("/other", other)],
            middleware=[Middleware(Auth), Middleware(EveryLayerMiddleware, ignored=ignored)],
            exception_handlers={418: odd},
        )
"""
PLAIN = """
    class Layer:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, environ, start_response):
            return self.inner(environ, start_response)

    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    app = Layer(app)
"""
CHAIN = """
    def test_chain(everylayer_audit):
        asked = {"path": "/7", "layers": ["Layer"], "phases": ["before"], "shapes": ["raised"]}
        audited = everylayer_audit("plain:app", **asked)
        assert audited.ok, audited.text()
        assert audited.text() == "plain:app, GET /7: 1 put, 0 lost, 0 not reached"
        assert everylayer_audit("plain:app", **asked) is audited
"""
INI = """
    [pytest]
    everylayer_audit = shop:make
    everylayer_audit_path = /orders
    everylayer_audit_factory = true
    everylayer_audit_headers = shop-key: 7
"""
LOST = """\
Auth: an error on the way in, left to the app
  - no exception event on the server span
  - the server span is UNSET, though the response was 500, and the error left the app
  the answer: 500, and InjectedFault: injected by the audit: fault-* left the app
  with stock alone: nothing is wrong
  at shop.py:*"""


def test_frameworks_and_an_audit_on_two_workers(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(test_flask=FLASK, test_starlette=STARLETTE, test_django=DJANGO)
    pytester.makepyfile(shop=SHOP, plain=PLAIN, test_own=CHAIN)
    pytester.makeini(INI)
    plugins = ("-p", "everylayer_pytest", "-p", "xdist.plugin", "-p", "anyio.pytest_plugin")
    chosen = "test_ or before and (raised or cancelled)"
    result = pytester.runpytest_subprocess(*plugins, "-v", "-n", "2", "-k", chosen)
    out = result.stdout
    result.assert_outcomes(passed=6, failed=3, skipped=1)
    out.fnmatch_lines(
        ["E * - layer    Session", "E * + layer    refuse*", "E *GET*ERROR*no user 7"]
    )
    out.fnmatch_lines(["*PASSED everylayer::index::before::cancelled*"])
    out.fnmatch_lines(["*SKIPPED everylayer::odd::before::raised*"])
    out.fnmatch_lines(["*FAILED everylayer::index::before::raised*"])
    out.fnmatch_lines(LOST.splitlines(), consecutive=True)
    assert "other" not in out.str(), "an endpoint that the request does not pass is no test"
    opened = (pytester.path / "opened.txt").read_text().split()
    assert len(opened) == 5, "once to see what the request passes, and once for each arm"


def test_who_names_a_file_gets_that_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(INI)
    path = pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_inprocess("-p", "everylayer_pytest", path)
    result.assert_outcomes(passed=1)


def test_each_fault_is_a_test_where_markers_are_strict(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(plain=PLAIN)
    options = (
        "-p",
        "everylayer_pytest",
        "--strict-markers",
        "-W",
        "error::pytest.PytestUnknownMarkWarning",
    )
    what = ("--everylayer-audit", "plain:app", "-m", "everylayer_audit", "--collect-only", "-q")
    result = pytester.runpytest_inprocess(*options, *what)
    assert result.ret == 0
    assert [line for line in result.outlines if line.startswith("everylayer::")] == [
        f"everylayer::{layer}::{phase}::{shape}"
        for layer, phases in (
            ("Layer", ["before", "after"]),
            ("app", ["before", "after", "stream", "teardown"]),
        )
        for phase in phases
        for shape in ("raised", "swallowed", "translated")
    ]


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        ("", "--everylayer-audit: there is no module nowhere, *"),
        ("everylayer_audit_path = orders", "everylayer_audit_path 'orders' is no path: *"),
        ("everylayer_audit_headers = key", "everylayer_audit_headers 'key' is no header: *"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(
    ini: str, said: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(f"[pytest]\n{ini}")
    options = ("-p", "everylayer_pytest", "--everylayer-audit", "nowhere:app")
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len(result.stderr.str().strip().splitlines()) == 1
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
