"""What an audit is told of an app: the chain as it runs, and points that are where it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import starlette

from audit_apps import (
    APPS,
    fastapi_app,
    mounting_app,
    ran,
    router_app,
    starlette_app,
    wrapped_app,
)
from audit_kit import opened, own, points_of, walk
from contract.drive import run_asgi, scope
from contract.telemetry import LATE_SUFFIX, Telemetry, error_events
from everylayer.audit.adapter import Opened
from everylayer.audit.model import ARMS, Arm, Phase

PATHS = [
    pytest.param(make, path, id=f"{make.__name__}{path}")
    for make, paths in APPS.items()
    for path in paths
]
Make = Callable[[], Any]


# `BaseHTTPMiddleware` of older versions loses, or raises elsewhere, what comes after its response.
LOSES_LATE = int(starlette.__version__.partition(".")[0]) < 1


class PutError(Exception):
    """The fault that is put."""


def reached(given: Opened, path: str) -> list[tuple[str, Phase]]:
    """Return where a request comes by, in order."""
    found: dict[tuple[str, Phase], None] = {}
    points = points_of(given)
    for key, point in points.items():
        point.arm(lambda key=key: found.setdefault(key))
    try:
        assert run_asgi(given.app, scope(path)).status == 200
    finally:
        for point in points.values():
            point.disarm()
    return list(found)


# The chain


@pytest.mark.parametrize(("make", "path"), PATHS)
def test_a_request_passes_what_the_chain_lists_in_its_order(make: Make, path: str) -> None:
    with opened(make, "bare") as given:
        nodes, names = own(given), list[str]()
        token = ran.set(names)
        try:
            found = [node for node, phase in reached(given, path) if phase == "before"]
        finally:
            ran.reset(token)
        listed = [nodes[node].name.rpartition(".")[2] for node in found]
        # An instance may have a name of its own: that of its class comes first in it.
        assert listed == [name.partition(" ")[0].rpartition(".")[2] for name in names]
        layers = [node for node in found if nodes[node].kind in ("class", "function")]
        assert layers == [node for node in nodes if node in layers]


def outline(given: Opened) -> list[str]:
    def lines(nodes: Any, depth: int) -> Any:
        for node in nodes:
            yield f"{'  ' * depth}{node.id} {node.kind} {node.name}"
            yield from lines(node.inner, depth + 1)

    return list(lines(given.chain.nodes, 0))


def test_the_tree_of_an_app_with_another_mounted() -> None:
    with opened(mounting_app, "bare") as given:
        assert outline(given) == [
            "0 class ServerErrorMiddleware",
            "1 class Pure",
            "2 class ExceptionMiddleware",
            "3 class Router",
            "  3.0 mount /within",
            "    3.0.0 function factory.closure",
            "    3.0.1 class ServerErrorMiddleware",
            "    3.0.2 class Pure",
            "    3.0.3 function factory.closure",
            "    3.0.4 class ExceptionMiddleware",
            "    3.0.5 class Router",
            "      3.0.5.0 endpoint page",
        ]


def test_the_tree_of_an_app_within_plain_layers() -> None:
    with opened(wrapped_app, "bare") as given:
        assert outline(given)[:6] == [
            "0 class Pure",
            "1 function factory.closure",
            "2 class ServerErrorMiddleware",
            "3 class Pure",
            "4 function factory.closure",
            "5 class Hides",
        ]
    with opened(router_app, "bare") as given:
        assert outline(given) == [
            "0 class Pure",
            "1 class Dispatches",
            "2 class Router",
            "  2.0 endpoint page",
        ]


def test_the_routes_of_a_starlette_app() -> None:
    with opened(starlette_app, "bare") as given:
        (router,) = (node for node in given.chain.nodes if node.name == "Router")
        at = router.id
        assert outline(given)[-11:] == [
            f"  {at}.0 endpoint page",
            f"  {at}.1 endpoint sync_page",
            f"  {at}.2 endpoint streamed",
            f"  {at}.3 endpoint Orders.get",
            f"  {at}.4 endpoint Orders.post",
            f"  {at}.5 mount GET /own",
            f"    {at}.5.0 class Pure",
            f"    {at}.5.1 endpoint page",
            f"  {at}.6 mount /plain",
            f"    {at}.6.0 class Router",
            f"      {at}.6.0.0 endpoint page",
        ]
        modes = {node.name: node.mode for node in walk(router.inner)}
        assert (modes["page"], modes["sync_page"]) == ("async", "sync")


def test_the_dependencies_of_a_fastapi_endpoint() -> None:
    with opened(fastapi_app, "bare") as given:
        found = {node.name: node for node in own(given).values()}
        items = found["fastapi_app.items"] if "fastapi_app.items" in found else found["items"]
        assert items.seam.startswith("GET /v1/items: ")
        assert [(n.name, n.kind, n.phases) for n in items.inner] == [
            ("Checks", "hook", ("before", "after")),
            ("connection", "hook", ("before", "teardown")),
            ("Paging.__init__", "hook", ("before", "after")),
        ]
        assert [node.name for node in found["connection"].inner] == ["counted"]
        handlers = [n for n in found["ExceptionMiddleware"].inner if n.kind == "handler"]
        assert handlers[-1].name == "on_value_error"
        assert handlers[-1].seam.startswith("ValueError: ")


def test_every_node_of_the_app_says_where_it_is() -> None:
    for make in APPS:
        with opened(make, "bare") as given:
            for node in own(given).values():
                file, _, line = node.where.rpartition(":")
                if node.kind != "mount":
                    assert file.endswith(".py"), node
                    assert int(line) > 0


# Arms


@pytest.mark.parametrize("make", APPS)
def test_the_chain_is_the_same_in_each_arm(make: Make) -> None:
    found = []
    for arm in ARMS:
        with opened(make, arm) as given:
            found.append({key: replace(node, inner=()) for key, node in own(given).items()})
            assert (given.stock == "") == (arm != "bare")
            assert [n.kind for n in walk(given.chain.nodes)].count("instrumentation") >= (
                arm != "bare"
            )
    assert found[0] == found[1] == found[2]


# Points


def put_at(given: Opened, path: str, key: tuple[str, Phase]) -> Any:
    """Send a request into a fault; return how it ended."""
    visits = []

    def visit() -> None:
        visits.append(key)
        if len(visits) == 1:
            raise PutError("put here")

    point = given.chain.points[key]
    point.arm(visit)
    try:
        return run_asgi(given.app, scope(path))
    finally:
        point.disarm()
        assert visits, key


@pytest.mark.parametrize(("make", "path"), PATHS)
def test_a_fault_at_each_point_is_recorded_by_the_name_of_its_node(
    make: Make, path: str, telemetry: Telemetry
) -> None:
    with opened(make, "everylayer") as given:
        nodes = own(given)
        for key in reached(given, path):
            if LOSES_LATE and key[1] != "before":
                continue
            telemetry.clear()
            run = put_at(given, path, key)
            # Some versions keep what comes after the response.
            if key[1] not in ("teardown", "background"):
                assert run.raised is not None, key
                assert run.raised.type is PutError, key
            found = [
                event.event.attributes or {}
                for event in error_events(telemetry.spans)
                if event.span.kind.name == "SERVER" or event.span.name.endswith(LATE_SUFFIX)
            ]
            # What an app within another task makes of a closed stream is an error of its own.
            found = [a for a in found if str(a["exception.type"]).endswith("PutError")]
            assert [each["everylayer.layer.name"] for each in found] == [nodes[key[0]].name], key
            telemetry.clear()
        assert run_asgi(given.app, scope(path)).status == 200
        assert error_events(telemetry.spans) == []


@pytest.mark.parametrize("arm", ["bare", "stock"])
def test_the_points_of_the_other_arms_are_the_same(arm: Arm) -> None:
    with opened(fastapi_app, "everylayer") as given:
        expected = reached(given, "/v1/items")
    with opened(fastapi_app, arm) as given:
        assert reached(given, "/v1/items") == expected
        assert {phase for _, phase in expected} == {
            "before",
            "after",
            "stream",
            "teardown",
            "background",
        }
        for key in expected:
            put_at(given, "/v1/items", key)


def test_what_comes_before_the_fault_in_a_stream_has_been_sent() -> None:
    with opened(starlette_app, "bare") as given:
        (node,) = (n.id for n in own(given).values() if n.name == "page" and "GET /:" in n.seam)
        run = put_at(given, "/", (node, "stream"))
        assert (run.status, run.body) == (200, b"a page")
        assert "content-length" not in dict(run.headers)
        run = put_at(given, "/", (node, "background"))
        assert (run.status, run.body) == (200, b"a page")
        assert dict(run.headers)["content-length"] == "6"
        (node,) = (n.id for n in own(given).values() if n.name == "streamed")
        assert put_at(given, "/streamed", (node, "stream")).body == b"one"


def test_an_endpoint_of_many_methods_has_a_response_for_each() -> None:
    with opened(starlette_app, "bare") as given:
        ids = {n.name: n.id for n in own(given).values() if n.name.startswith("Orders.")}
        found = {node for node, _ in reached(given, "/orders")}
        assert ids["Orders.get"] in found
        assert ids["Orders.post"] not in found


def test_disarmed_nothing_is_left() -> None:
    with opened(starlette_app, "bare") as given:
        routes = [route for route in given.app.routes if hasattr(route, "app")]
        before = [route.app for route in routes]
        points = list(points_of(given, "stream", "background").values())
        for point in points:
            point.arm(lambda: None)
        assert [route.app for route in routes] != before
        for point in points:
            point.disarm()
            point.disarm()
        assert [route.app for route in routes] == before
