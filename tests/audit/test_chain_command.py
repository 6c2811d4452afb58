"""`everylayer chain`, as it is typed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from everylayer import __main__, __version__, cli
from everylayer.audit import chain_command
from everylayer.audit.chain_view import print_chain
from everylayer.audit.model import ChainNode
from everylayer.audit.wire import Chained, TargetError

APPS = Path(__file__).parent / "apps"
CHAIN = Chained(
    framework="plain ASGI",
    interface="asgi",
    nodes=(
        ChainNode("+0", "OpenTelemetryMiddleware", "instrumentation", "otel.py:1", "async"),
        ChainNode(
            "0",
            "AuthenticationMiddlewareOfTheShop",
            "asgi",
            "/usr/lib/python3/site-packages/shop/layers/authentication.py:120",
            "async",
            "a probe around it",
            ("before", "after"),
        ),
        ChainNode(
            "1",
            "Router",
            "asgi",
            "shop/app.py:3",
            "async",
            "a probe",
            ("before",),
            (ChainNode("1.0", "/orders get_orders", "endpoint", "shop/app.py:9", "async"),),
        ),
    ),
    stock="opentelemetry-instrumentation-asgi is not installed",
    passed=("0",),
    status=401,
)


def printed(width: int, path: str | None = None, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, highlight=False)
    print_chain("shop:app", path, CHAIN, console)
    return out.getvalue()


@pytest.fixture(autouse=True)
def in_the_apps_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(APPS)


def test_a_narrow_terminal_shows_all_of_it() -> None:
    lines = printed(80).splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "├── 0 AuthenticationMiddlewareOfTheShop  asgi, async" in text
    assert "shop/layers/authentication.py:120  seam: a probe around it" in text
    assert "/usr/lib" not in text
    assert "    └── 1.0 /orders get_orders  endpoint, async" in text
    assert "\x1b" not in text
    assert "Stock OpenTelemetry is not on: opentelemetry-instrumentation-asgi" in text


def test_a_wide_terminal_has_a_line_for_each_layer() -> None:
    assert len(printed(160).splitlines()) == 6


def test_a_path_marks_what_it_does_not_pass() -> None:
    text = printed(80, "/orders")
    assert "GET /orders: status 401, 1 layer passed" in text
    assert [line.split()[1] for line in text.splitlines() if "not passed" in line] == ["1"]


def test_instrumentation_is_dimmed_on_a_terminal_with_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    line = next(line for line in printed(80, None, True).splitlines() if "OpenTel" in line)
    assert "\x1b[2mOpenTelemetryMiddleware" in line
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(80, None, True)


def test_the_chain_of_an_app_is_printed_and_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["chain", "plain", "--path", "/other"]) == 0
    text = capsys.readouterr().out
    assert "GET /other: status 202, 5 layers passed" in text
    assert [line.split()[1] for line in text.splitlines() if "not passed" in line] == ["3", "4"]
    assert cli.run(["chain", "plain:asgi", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [node["name"] for node in found["nodes"] if node["kind"] != "instrumentation"] == [
        "AsgiAuth",
        "asgi_endpoint",
    ]
    assert found["framework"] == "plain ASGI"
    assert found["versions"]["everylayer"] == __version__


def test_what_cannot_be_done_is_one_sentence_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["chain", "nothing.py:app"]) == 2
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "everylayer: there is no file nothing.py\n")
    assert cli.run(["chain"]) == 2
    assert "Missing argument 'TARGET'" in capsys.readouterr().err
    assert cli.run(["nothing"]) == 2


def test_the_traceback_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object, **words: object) -> None:
        raise TargetError("importing shop failed", "Traceback:\n  deep inside\n")

    monkeypatch.setattr(chain_command, "run_arm", fail)
    said = []
    for args in (["chain", "shop"], ["-v", "chain", "shop"], ["chain", "shop", "-v"]):
        assert cli.run(args) == 2
        said.append(capsys.readouterr().err)
    sentence = "everylayer: importing shop failed\n"
    assert said == [sentence, *[f"Traceback:\n  deep inside\n{sentence}"] * 2]


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"everylayer {__version__}\n"
    assert cli.run(["--help"]) == 0
    assert "chain" in capsys.readouterr().out


def test_without_its_packages_the_command_says_which_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "_NEEDED", ("not_installed_anywhere",))
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "the command needs: pip install 'everylayer[audit]'\n"


def test_core_does_not_import_what_only_the_command_needs() -> None:
    code = "import sys, everylayer, everylayer.__main__; print({'click', 'rich'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
