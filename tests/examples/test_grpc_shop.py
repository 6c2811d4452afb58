"""The gRPC shops serve, with threads and with asyncio alike, and fail where they are told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from shop import inventory
from showcase.client import Answer
from showcase.rpc import call

STARTUP = 30


@pytest.fixture(scope="module", params=["threads", "asyncio"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A shop with everylayer, served as its README says."""
    stand_in = inventory.server()
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "grpc_shop.serve"),
            *(["--aio"] if request.param == "asyncio" else []),
            "127.0.0.1:0",
        ],
        cwd=Path(__file__).resolve().parents[2] / "examples",
        env={**environ, "INVENTORY_URL": f"http://127.0.0.1:{stand_in.server_port}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("port "), said
        yield int(said.split()[1])
        process.terminate()
        assert process.wait(STARTUP) == 0
    finally:
        process.kill()
        process.communicate()
        stand_in.shutdown()
        stand_in.server_close()


def ask(port: int, asked: str, fail: str = "", token: str = "Bearer secret") -> Answer:
    """Return the answer to an RPC as the demo sends it."""
    return call(port, asked, {"authorization": token, "x-fail": fail}, uuid.uuid4().hex)


def test_each_kind_of_method_works(port: int) -> None:
    expected = {
        'Order {"order": 7}': [{"order": 7, "total": 6930}],
        'Stock {"sku": "espresso"}': [{"sku": "espresso", "left": 12}],
        "Report {}": [{"order": n, "total": 990 * n} for n in (1, 2, 3)],
        'Restock {"count": 2}, {"count": 3}': [{"count": 5}],
        'Basket {"count": 2}, {"count": 3}': [{"total": 1980}, {"total": 4950}],
    }
    answers = {asked: ask(port, asked) for asked in expected}
    assert {each.code for each in answers.values()} == {"OK"}
    got = {
        asked: [json.loads(line) for line in each.body.splitlines()]
        for asked, each in answers.items()
    }
    assert got == expected


@pytest.mark.parametrize(
    ("asked", "fail", "code"),
    [
        ('Order {"order": 7}', "access_log", "UNKNOWN"),
        ('Order {"order": 7}', "credentials", "UNAUTHENTICATED"),
        ('Order {"order": "seven"}', "", "INVALID_ARGUMENT"),
        ('Order {"order": 7}', "view", "INTERNAL"),
        ('Stock {"sku": "tea"}', "", "FAILED_PRECONDITION"),
        ('Stock {"sku": "espresso"}', "inventory", "UNAVAILABLE"),
        ("Report {}", "stream", "INTERNAL"),
    ],
)
def test_fails_on_request(port: int, asked: str, fail: str, code: str) -> None:
    assert ask(port, asked, fail).code == code


def test_its_audit_finds_nothing_lost(examples: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "everylayer", "audit", "grpc_shop.aio_server:create_server()"),
            *("--rpc", "shop.Shop/Report", "--header", "authorization: Bearer secret"),
            *("--layer", "Recovery*", "--layer", "Shop.report", "--shape", "raised"),
        ],
        cwd=examples,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "POST /shop.Shop/Report" in " ".join(done.stdout.split())
    assert "stock lost 7 of 7, everylayer lost 0 of 7" in done.stdout


def test_nobody_comes_in_without_a_token(port: int) -> None:
    for asked in ('Order {"order": 7}', "Report {}", 'Restock {"count": 1}', 'Basket {"count": 1}'):
        assert ask(port, asked, token="").code == "UNAUTHENTICATED"
