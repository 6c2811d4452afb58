"""Audits within a run of pytest: each is done once, and told in words."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..audit.model import ChainNode, Phase, Report, Request, Row, Shape, Trial
from ..audit.plan import ENDPOINT, Plan, walk
from ..audit.process import run_arm
from ..audit.report.totals import judged, totals
from ..audit.session import Wanted, plan_for, read_chain
from ..audit.session import audit as run_audit
from ..audit.spelling import parse
from ..audit.wire import Chained, Job


class Audited:
    """What an audit has found.

    Attributes:
        report: all of it.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    @property
    def ok(self) -> bool:
        """Whether everylayer has lost no error and changed no response."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The faults that everylayer did not record as it should."""
        return tuple(row for row in self.report.rows if not judged(row, "everylayer").ok)

    def text(self) -> str:
        """Return what is wrong, and the numbers, in words."""
        counts = totals(self.report).get("everylayer", {"put": 0, "lost": 0, "unreached": 0})
        request = f"{self.report.request.method} {self.report.request.path}"
        numbers = f"{counts['put']} put, {counts['lost']} lost"
        lines = [f"{self.report.target}, {request}: {numbers}, {counts['unreached']} not reached"]
        for row in self.failures:
            lines += ["", *reasons(self.report, row)]
        return "\n".join(lines)


def reasons(report: Report, row: Row) -> list[str]:
    """Return what is wrong with a row, one line each, and how stock fares with the same fault."""
    known = {node.id: node for node in walk(report.chain)}
    node = known.get(row.fault.node)
    layer = node.name if node is not None else row.fault.node
    error = "a CancelledError" if row.fault.error == "cancelled" else "an error"
    lines = [f"{layer}: {error} {_WHEN[row.fault.phase]}, {_BECOMES[row.fault.shape]}"]
    lines += [f"  - {why}" for why in judged(row, "everylayer").why]
    trial = row.trials.get("everylayer")
    if trial is not None:
        lines.append(f"  the answer: {_answer(trial)}")
    if "stock" in row.verdicts:
        stock = row.verdicts["stock"]
        lines.append(f"  with stock alone: {'; '.join(stock.why) or 'nothing is wrong'}")
    if node is not None and node.where:
        lines.append(f"  at {node.where}")
    return lines


_WHEN: dict[Phase, str] = {
    "before": "on the way in",
    "after": "on the way out",
    "stream": "while the body is sent",
    "teardown": "in its teardown",
    "background": "in the background, after the response",
}
_BECOMES: dict[Shape, str] = {
    "raised": "left to the app",
    "swallowed": "swallowed by a layer outside all others",
    "translated": "translated by a layer outside all others",
}


def _answer(trial: Trial) -> str:
    left = f", and {trial.answer.escaped} left the app" if trial.answer.escaped else ""
    return f"{trial.answer.status or 'none'}{left}"


def plan_of(wanted: Wanted) -> tuple[Chained, Plan]:
    """Return the chain, and each fault that the request may reach; it is sent once.

    Raises:
        TargetError: the target cannot be opened, or there is nothing to try.
    """
    parse(wanted.target, wanted.factory)  # What can be refused at once needs no process.
    found: list[Chained] = []

    def take(line: Chained | Trial) -> None:
        if isinstance(line, Chained):
            found.append(line)

    job = Job("path", wanted.target, "everylayer", factory=wanted.factory, request=wanted.request)
    with importing_alike():
        run_arm(job, take, wanted.timeout)
    chained = found[0]
    plan = plan_for(wanted, chained)
    beside = set(_beside(chained.nodes, set(chained.passed)))
    return chained, only(plan, (fault.token for fault in plan.faults if fault.node not in beside))


def only(plan: Plan, tokens: Iterable[str]) -> Plan:
    """Return `plan` with the faults of these tokens alone."""
    wanted = set(tokens)
    return replace(plan, faults=tuple(each for each in plan.faults if each.token in wanted))


def _beside(nodes: Iterable[ChainNode], passed: set[str]) -> Iterator[str]:
    """Yield the ids of endpoints, mounts and blueprints that the request does not pass."""
    for node in nodes:
        inside = [each.id for each in walk([node])]
        if node.kind in (ENDPOINT, "mount") and passed.isdisjoint(inside):
            yield from inside
        else:
            yield from _beside(node.inner, passed)


def run_plan(wanted: Wanted, chained: Chained, plan: Plan) -> Report:
    """Try all of `plan`.

    Raises:
        TargetError: the target cannot be opened, or a request reaches none of its layers.
    """
    with importing_alike():
        return run_audit(wanted, chained, plan, lambda run, trial: None)


@contextlib.contextmanager
def importing_alike() -> Iterator[None]:
    """Have children import what this process can: pytest puts folders on its own path."""
    name = "PYTHONPATH"
    before = os.environ.get(name)
    os.environ[name] = os.pathsep.join(path for path in sys.path if path)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class Auditor:
    """The fixture `everylayer_audit`: audits an app; the same twice is done once."""

    def __init__(self) -> None:
        self._done: dict[Wanted, Audited] = {}

    def __call__(
        self,
        target: str,
        *,
        path: str = "/",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        factory: bool = False,
        layers: Iterable[str] = (),
        phases: Iterable[Phase] = (),
        shapes: Iterable[Shape] = (),
        timeout: float = 10.0,
    ) -> Audited:
        """Make each layer of the app fail that a request passes; return what came of it.

        Args:
            target: what you start your server with, such as `shop.asgi:app`.
            path, method, headers: of the request.
            factory: `target` names a function to call.
            layers: names or patterns of those to try; none for all.
            phases: those to try; none for all.
            shapes: those to try; none for all.
            timeout: of one request, seconds.

        Raises:
            TargetError: the audit cannot be done.
        """
        request = Request(method.upper(), path, tuple((headers or {}).items()))
        wanted = Wanted(
            target, factory, request, tuple(layers), tuple(phases), tuple(shapes), timeout
        )
        if wanted not in self._done:
            parse(target, factory)
            with importing_alike():
                chained = read_chain(wanted)
            plan = plan_for(wanted, chained)
            self._done[wanted] = Audited(run_plan(wanted, chained, plan))
        return self._done[wanted]
