"""What a chain can be made of, and how one is drawn: by hypothesis, or by a seeded generator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from .faults import REFUSAL, SHAPES

# For the events of any chain.
ROOM = 64

Pick = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Step:
    """One layer.

    Attributes:
        kind: what it is made of in its framework.
        does: its behaviour, see `acts.act`; of the innermost one, what the view does.
        fault: shape of the exception that it raises by itself.
        status: of the response that it gives by itself.
    """

    kind: str
    does: str = "pass"
    fault: str = "plain"
    status: int = 200


@dataclass(frozen=True)
class Chain:
    """One app and what stands around it.

    Attributes:
        framework: whose app.
        steps: outermost first; the last one is the view.
        setup: where the server span comes from: `alone` (everylayer), `stock...` (an
            instrumentation), or `manual` (the caller's own); `none`: there is no SDK.
        entry: where everylayer stands among the layers, 0 outermost.
        max_events: the setting, None to leave it at its default.
    """

    framework: str
    steps: tuple[Step, ...]
    setup: str = "alone"
    entry: int = 0
    max_events: int | None = ROOM

    def settings(self) -> dict[str, int]:
        """Return the settings that everylayer is given."""
        # What a storm of errors would cut from the next ones is none of the model's.
        room = {"max_span_bytes": 1 << 40, "max_batch_bytes": 1 << 40}
        return room if self.max_events is None else {**room, "max_events": self.max_events}


@dataclass(frozen=True)
class Grammar:
    """What the chains of a framework are drawn from; the simplest choice first."""

    layers: dict[str, tuple[str, ...]]
    views: dict[str, tuple[str, ...]]
    setups: tuple[str, ...]
    shapes: tuple[str, ...] = SHAPES
    outermost: tuple[str, ...] = ()
    innermost: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()


ACTS = (
    *("pass", "before", "after", "swallow", "swallow_out", "reraise", "from", "none"),
    *("implicit", "mutate", "retry", "retry_in"),
)
RAISING = (
    *("before", "after", "from", "none", "implicit"),
    *("raise", "stream", "background", "hook"),
)
# Before 3.11 a group is any other exception.
GROUPS_NAMELESS = sys.version_info < (3, 11)
RETRIES = ("retry", "retry_in")
# In Django an error further in is a response: it is answered, not caught.
ANSWERING = ("pass", "before", "after", "recover", "retry")
DJANGO = Grammar(
    layers={
        "layer": ANSWERING,
        "function": ANSWERING,
        "view_hook": ("pass", "hook"),
        "exception_hook": ("pass", "answer", "hook"),
        "sync": ANSWERING,
    },
    views={"view": ("raise", "ok", "stream")},
    setups=("alone", "stock", "manual", "none"),
    shapes=(REFUSAL, *SHAPES),
)
ONCE = tuple(act for act in ACTS if act not in RETRIES)
# Of those that yield; FastAPI refuses to go on after one that swallows. From 0.106 to 0.117 they
# end before the response is sent.
DEPENDENCIES: tuple[str, ...] = ()
if tuple(map(int, version("fastapi").split(".")[:2])) >= (0, 118):
    DEPENDENCIES = ("pass", "before", "after", "reraise", "from", "none", "implicit", "mutate")
STATUSES = (200, 404, 503)
# The view among them. Most are short: they are served faster, and whatever goes wrong within a
# few layers comes up sooner.
LENGTHS = (
    *((1,) * 3 + (2,) * 8 + (3,) * 9 + (4,) * 7 + (5,) * 4 + (6,) * 3),
    *range(7, 13),
)
# Each one doubles what runs inside it.
MAX_RETRIES = 2

STARLETTE = Grammar(
    # `call_next` works once.
    layers={"plain": ACTS, "dispatch": ONCE, "closure": ACTS, "slotted": ACTS, "spawning": ACTS},
    views={"view": ("raise", "ok", "stream", "background")},
    setups=("alone", "stock", "stock_app", "manual", "none"),
    outermost=("on500",),
    innermost=("handler",),
)

GRAMMARS: dict[str, Grammar] = {
    "asgi": Grammar(
        layers={"plain": ACTS, "closure": ACTS, "slotted": ACTS, "spawning": ACTS},
        views={"app": ("raise", "ok", "stream")},
        setups=("alone", "stock", "manual", "none"),
    ),
    "starlette": STARLETTE,
    # It can begin a server span of its own: `native`.
    "fastapi": replace(
        STARLETTE,
        dependencies=DEPENDENCIES,
        setups=("alone", "stock", "native", "manual", "none"),
    ),
    "flask": Grammar(
        layers={
            "wsgi": ACTS,
            "before_hook": ("pass", "before"),
            "after_hook": ("pass", "after"),
            "closure": ACTS,
            "spawning": ACTS,
        },
        views={"view": ("raise", "ok", "stream")},
        setups=("alone", "stock_first", "stock_last", "manual", "none"),
        outermost=("on500",),
        innermost=("handler",),
    ),
    "django": DJANGO,
    "django_async": DJANGO,
}


def draw(framework: str, pick: Pick) -> Chain:
    """Return a chain whose every part `pick` has chosen."""
    grammar = GRAMMARS[framework]
    steps: list[Step] = []
    retries = 0
    for _ in range(pick(LENGTHS) - 1):
        kind = pick(tuple(grammar.layers))
        acts = grammar.layers[kind]
        if retries >= MAX_RETRIES:
            acts = tuple(act for act in acts if act not in RETRIES)
        does = pick(acts)
        retries += does in RETRIES
        steps.append(_step(kind, does, grammar, pick))
    layers = len(steps)
    if grammar.outermost and pick((False, True)):
        steps.insert(0, Step(pick(grammar.outermost), "answer", status=pick((500, 503, 200))))
    if grammar.innermost and pick((False, True)):
        steps.append(Step(pick(grammar.innermost), "answer", status=pick(STATUSES)))
    if grammar.dependencies and pick((False, True)):
        steps.append(_step("dependency", pick(grammar.dependencies), grammar, pick))
    kind = pick(tuple(grammar.views))
    steps.append(_step(kind, pick(grammar.views[kind]), grammar, pick))
    entry = pick(range(layers + 1))
    setup = pick(grammar.setups)
    max_events = pick((ROOM, ROOM, None))
    chain = Chain(framework, tuple(steps), setup, entry, max_events)
    return replace(chain, steps=_sensible(chain))


def variants(chain: Chain) -> list[Chain]:
    """Return `chain` in each setup, its own one first."""
    setups = GRAMMARS[chain.framework].setups
    at = setups.index(chain.setup)
    others = [replace(chain, setup=setup) for setup in (*setups[at:], *setups[:at])]
    return [replace(other, steps=_sensible(other)) for other in others]


def _sensible(chain: Chain) -> tuple[Step, ...]:
    """Take out what the frameworks and stock make no one outcome of."""
    steps = chain.steps
    if any(step.kind in ("dispatch", "spawning") for step in steps):
        # What fails in another task or thread has no context.
        steps = tuple(replace(s, does="retry") if s.does == "retry_in" else s for s in steps)
    if chain.framework == "flask" and chain.setup.startswith("stock"):
        # Stock begins one more server span each time that its app is run.
        return tuple(map(_once, steps))
    if chain.framework == "asgi":
        # Further out than everylayer it is others who record, and who fail at odd ones.
        return (*map(_outer, steps[: chain.entry]), *steps[chain.entry :])
    if chain.setup == "native":
        # FastAPI's telemetry fails in its stead.
        steps = tuple(replace(s, fault="plain") if s.fault == "broken" else s for s in steps)
    tasks = [index for index, step in enumerate(steps) if step.kind == "dispatch"]
    if tasks and (GROUPS_NAMELESS or any(steps[index].does != "pass" for index in tasks)):
        # Of whatever is no `Exception` it makes a group, with an error of its own.
        steps = tuple(replace(s, fault="plain") if s.fault == "odd" else s for s in steps)
    # How far the inner tasks got by then, nobody can say.
    unsure = {index for index in tasks[:-1] if steps[index].does == "after"}
    return tuple(replace(s, does="before") if i in unsure else s for i, s in enumerate(steps))


def _once(step: Step) -> Step:
    return replace(step, does="pass") if step.does in RETRIES else step


def _outer(step: Step) -> Step:
    # When everylayer reads a message that changes later, depends on the server span.
    does = "reraise" if step.does == "mutate" else _once(step).does
    return replace(step, does=does, fault="plain")


def _step(kind: str, does: str, grammar: Grammar, pick: Pick) -> Step:
    fault, status = "plain", 200
    if does in RAISING:
        # Half of them plain: a hostile one often ends what would follow.
        fault = pick(grammar.shapes) if pick((False, True)) else "plain"
    if does in ("swallow", "swallow_out", "recover", "answer"):
        status = pick(STATUSES)
    return Step(kind, does, fault, status)
