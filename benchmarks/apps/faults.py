"""Ways for a request to fail: raised deep, at many places, with suggestions, in a template.

The functions that raise are written to real files, each with text of its own: a recursion would
be folded by the renderer, and a frame without source would be cheap for everybody.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from . import layers

DEPTH = 20
PATHS = 480
_SHARED = 14

Fault = Callable[[], None]


class Failure(Exception):
    """What the views raise."""


class Order:
    """Has attributes enough for an AttributeError to look for a similar one."""

    def __init__(self) -> None:
        self.customer_name = "n"
        self.delivery_date = "d"
        self.shipping_address = "a"
        self.total_amount = 1


def write_corpus(folder: Path) -> None:
    """Write layers, one chain of `DEPTH` functions, and two sets of `PATHS` such chains.

    In the set `own` each path has all its frames for itself; in the set `mixed` the inner ones
    are shared, as a service's handlers share what they call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    layers.write(folder)
    (folder / "bench_deep.py").write_text(_chain("deep", DEPTH), encoding="utf-8")
    (folder / "bench_shared.py").write_text(_shared(_SHARED), encoding="utf-8")
    for index in range(PATHS):
        name = f"bench_own_{index}"
        (folder / f"{name}.py").write_text(_chain(f"own_{index}", DEPTH), encoding="utf-8")
        name = f"bench_mixed_{index}"
        body = _chain(
            f"mixed_{index}", DEPTH - _SHARED - 1, last=f"run_shared(step, {index} + value)"
        )
        (folder / f"{name}.py").write_text(
            f"from bench_shared import run_shared\n{body}", encoding="utf-8"
        )


def _chain(label: str, depth: int, last: str = "") -> str:
    """Return a module in which `start()` runs through `depth` functions, then fails."""
    fail = last or f'raise RuntimeError(f"{label} cannot go on with {{value}}")'
    lines = ["def start():", f"    return step_{label}_1(1)", ""]
    for level in range(1, depth):
        following = f"step_{label}_{level + 1}"
        call = f"return {following}(value + {level})" if level < depth - 1 else fail
        lines += [
            f"def step_{label}_{level}(value):",
            f"    result = {{'value': value, 'level': {level}}}",
            f"    {call.replace('step,', 'result,')}",
            "    return result",
            "",
        ]
    return "\n".join(lines)


def _shared(depth: int) -> str:
    lines = ["def run_shared(result, value):", "    return shared_1(result, value)", ""]
    for level in range(1, depth):
        call = (
            f"return shared_{level + 1}(result, value + {level})"
            if level < depth - 1
            else 'raise RuntimeError(f"shared code cannot go on with {value}")'
        )
        lines += [f"def shared_{level}(result, value):", f"    {call}", ""]
    return "\n".join(lines)


@functools.cache
def named(name: str) -> Fault:
    """Return the fault of that name.

    Args:
        name: `deep`, `name`, `attribute`, `template`, `own` or `mixed` (the next of their paths).
    """
    if name in ("own", "mixed"):
        return functools.partial(_next_path, _rotation(name))
    return {
        "deep": _module("bench_deep"),
        "name": _name_error,
        "attribute": _attribute_error,
        "template": _template(),
    }[name]


def _module(name: str) -> Fault:
    start: Fault = layers.generated(name).start
    return start


def _rotation(kind: str) -> Iterator[Fault]:
    return itertools.cycle([_module(f"bench_{kind}_{index}") for index in range(PATHS)])


def _next_path(rotation: Iterator[Fault]) -> None:
    next(rotation)()


def _name_error() -> None:
    delivery_date = shipping_address = total_amount = 1
    print(delivery_date, shipping_address, total_amount, total_amuont)  # type: ignore[name-defined] # noqa: F821


def _attribute_error() -> None:
    order = Order()
    print(order.delivery_dat)  # type: ignore[attr-defined]


def _template() -> Fault:
    from jinja2 import DictLoader, Environment

    def broken(value: int) -> int:
        raise Failure(f"no price for {value}")

    base = "<ul>{% block items %}{% endblock %}</ul>"
    page = (
        "{% extends 'base' %}{% macro row(x) %}<li>{{ price(x) }}</li>{% endmacro %}"
        "{% block items %}{% for x in range(3) %}{{ row(x) }}{% endfor %}{% endblock %}"
    )
    environment = Environment(loader=DictLoader({"base": base, "page": page}))
    environment.globals["price"] = broken

    def render() -> None:
        environment.get_template("page").render()

    return render
