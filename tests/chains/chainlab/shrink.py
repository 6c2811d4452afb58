"""Makes a chain that fails as small as it can be: for the long run, where hypothesis is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .grammar import GRAMMARS, ROOM, Chain, Step


def shrink(chain: Chain, fails: Callable[[Chain], object]) -> Chain:
    """Return the smallest chain found from `chain` on by which `fails` still holds."""
    smaller: Chain | None = chain
    while smaller is not None:
        chain = smaller
        smaller = next((c for c in _simpler(chain) if fails(c)), None)
    return chain


def _simpler(chain: Chain) -> Iterator[Chain]:
    steps = chain.steps
    for index in range(len(steps) - 1):
        left = steps[:index] + steps[index + 1 :]
        yield replace(chain, steps=left, entry=0)
        if index < chain.entry:
            yield replace(chain, steps=left, entry=chain.entry - 1)
    if chain.entry:
        yield replace(chain, entry=0)
    setups = GRAMMARS[chain.framework].setups
    for setup in setups[: setups.index(chain.setup)]:
        yield replace(chain, setup=setup)
    if chain.max_events is None:
        yield replace(chain, max_events=ROOM)
    for index, step in enumerate(steps):
        for simpler in _simpler_step(step, index == len(steps) - 1, chain.framework):
            yield replace(chain, steps=(*steps[:index], simpler, *steps[index + 1 :]))


def _simpler_step(step: Step, last: bool, framework: str) -> Iterator[Step]:
    grammar = GRAMMARS[framework]
    if step.fault != "plain":
        yield replace(step, fault="plain")
    if step.status != 200:
        yield replace(step, status=200)
    kinds = grammar.views if last else grammar.layers
    if step.kind in kinds:
        for does in kinds[step.kind][: kinds[step.kind].index(step.does)]:
            yield replace(step, does=does)
        names = tuple(kinds)
        for kind in names[: names.index(step.kind)]:
            if step.does in kinds[kind]:
                yield replace(step, kind=kind)
