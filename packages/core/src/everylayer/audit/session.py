"""A whole audit: a child for each arm and shape, and one report of what they found."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Literal

from .context import find_losses
from .hazards import find_hazards
from .model import (
    Answer,
    Arm,
    ChainNode,
    Fault,
    Finding,
    Phase,
    Report,
    Request,
    Row,
    Shape,
    Trial,
    Verdict,
)
from .plan import ENDPOINT, LOOK, Plan, make_plan, walk
from .process import run_arm
from .verdict import judge
from .wire import Chained, Job, TargetError

# The bare app twice, in two processes: what differs there is not compared.
Run = Literal["bare", "everylayer", "stock", "again"]
Take = Callable[["Chained | Trial"], None]
Results = Mapping[Run, Mapping[Fault, Trial]]


@dataclass(frozen=True)
class Wanted:
    """What to audit.

    Attributes:
        target, factory: as they were typed.
        layers, phases, shapes: those to try; none for all.
        timeout: of one request, seconds.
        verbose: what the app prints goes to stderr.
    """

    target: str
    factory: bool = False
    request: Request = field(default_factory=Request)
    layers: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    shapes: tuple[Shape, ...] = ()
    timeout: float = 10.0
    verbose: bool = False


def read_chain(wanted: Wanted) -> Chained:
    """Return the chain of the target; it gets no request.

    Raises:
        TargetError: the target cannot be opened.
    """
    found: list[Chained] = []

    def take(line: Chained | Trial) -> None:
        if isinstance(line, Chained):
            found.append(line)

    job = Job("chain", wanted.target, "everylayer", factory=wanted.factory, request=wanted.request)
    run_arm(job, take, timeout=wanted.timeout, verbose=wanted.verbose)
    return found[0]


def plan_for(wanted: Wanted, chained: Chained) -> Plan:
    """Return what will be tried.

    Raises:
        TargetError: there is nothing to try.
    """
    return make_plan(
        chained.nodes,
        wanted.request,
        layers=wanted.layers,
        phases=wanted.phases,
        shapes=wanted.shapes,
        is_async=chained.interface in ("asgi", "http"),
    )


def runs_of(chained: Chained) -> tuple[Run, ...]:
    """Return what is run, in this order: the two bare ones as far apart as can be."""
    return ("bare", "everylayer", *(() if chained.stock else ("stock",)), "again")


def audit(
    wanted: Wanted, chained: Chained, plan: Plan, on_trial: Callable[[Run, Trial], None]
) -> Report:
    """Try every fault of `plan` and judge what comes of it.

    Args:
        wanted: what to audit.
        chained: its chain.
        plan: what to try.
        on_trial: called for each trial as it comes, from any thread.

    Raises:
        TargetError: the target cannot be opened, or a request reaches none of its layers.
    """
    began = time.monotonic()
    results = _run_all(wanted, plan, runs_of(chained), on_trial)
    rows = _rows(plan, chained.nodes, results)
    looks: dict[Arm, Trial] = {
        arm: results[arm][LOOK]
        for arm in ("bare", "stock", "everylayer")
        if arm in results and LOOK in results[arm]
    }
    findings = [
        *_coverage(chained.nodes, rows, looks.get("bare")),
        *find_losses(chained.nodes, {arm: t for arm, t in looks.items() if arm != "bare"}),
        *find_hazards(chained.nodes, rows, results["bare"], looks),
    ]
    return Report(
        target=wanted.target,
        framework=chained.framework,
        request=wanted.request,
        chain=chained.nodes,
        rows=tuple(rows),
        findings=tuple(findings),
        versions=chained.versions,
        stock=chained.stock,
        seconds=round(time.monotonic() - began, 1),
    )


def _run_all(
    wanted: Wanted, plan: Plan, runs: Sequence[Run], on_trial: Callable[[Run, Trial], None]
) -> Results:
    """Do each run, as many at a time as there are cores."""
    results: dict[Run, dict[Fault, Trial]] = {run: {} for run in runs}
    stopped = threading.Event()

    def one(run: Run) -> None:
        def take(line: Chained | Trial) -> None:
            if stopped.is_set():
                raise TargetError("the audit was stopped")
            if isinstance(line, Trial):
                results[run][line.fault] = line
                on_trial(run, line)

        if not stopped.is_set():
            run_arm(_job(wanted, plan, run), take, wanted.timeout, wanted.verbose)

    with ThreadPoolExecutor(max_workers=_cores()) as pool:
        try:
            work = [pool.submit(one, run) for run in runs]
            _finish(work)
        finally:
            stopped.set()
            for future in work:
                future.cancel()
    return results


def _finish(work: Iterable[Future[None]]) -> None:
    """Wait for all, or for the first failure, and raise that."""
    done, _ = wait(work, return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()


def _job(wanted: Wanted, plan: Plan, run: Run) -> Job:
    return Job(
        kind="trials",
        target=wanted.target,
        arm="bare" if run == "again" else run,
        factory=wanted.factory,
        request=wanted.request,
        faults=plan.trials,
    )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _rows(plan: Plan, nodes: Sequence[ChainNode], results: Results) -> list[Row]:
    reached = {fault.node for fault, trial in results["bare"].items() if trial.reached}
    elsewhere = set(_elsewhere(nodes, reached))
    rows = []
    for fault in plan.faults:
        bare = results["bare"].get(fault)
        again = results["again"].get(fault)
        if bare is not None and again is not None and fault.node not in elsewhere:
            rows.append(_row(fault, bare, again, results))
    if not any(row.verdicts[arm].reached for row in rows for arm in row.verdicts):
        raise TargetError(_nothing_reached(plan, results))
    return rows


def _elsewhere(nodes: Iterable[ChainNode], reached: Collection[str]) -> Iterator[str]:
    """Yield the ids of all that belongs to endpoints, mounts and blueprints not asked for."""
    for node in nodes:
        inside = [each.id for each in walk([node])]
        if node.kind in (ENDPOINT, "mount") and not any(each in reached for each in inside):
            yield from inside
        else:
            yield from _elsewhere(node.inner, reached)


def _row(fault: Fault, bare: Trial, again: Trial, results: Results) -> Row:
    arms: tuple[Arm, ...] = ("stock", "everylayer")
    trials: dict[str, Trial] = {
        arm: results[arm][fault] for arm in arms if fault in results.get(arm, {})
    }
    stock = trials.get("stock")
    verdicts: dict[str, Verdict] = {}
    for arm, trial in trials.items():
        if bare.reached and not trial.reached and arm == "everylayer":
            # A process that was lost, or a layer that everylayer has kept a request from.
            why = trial.answer.hazards or ("the request does not come here, as it does without",)
            verdicts[arm] = Verdict(response=False, why=why)
        else:
            beside = stock if arm == "everylayer" else None
            verdicts[arm] = judge(fault, (bare.answer, again.answer), trial, beside)
    return Row(fault, bare.answer, trials, verdicts)


def _nothing_reached(plan: Plan, results: Results) -> str:
    look = results["bare"].get(LOOK)
    answer = look.answer if look is not None else Answer()
    request = f"{plan.request.method} {plan.request.path}"
    return (
        f"{request} is answered {answer.said or 'with nothing'} and passes none of the layers "
        f"asked for; choose another --path, or give what it needs with --header 'Name: value'"
    )


def _coverage(nodes: Sequence[ChainNode], rows: Sequence[Row], look: Trial | None) -> list[Finding]:
    """Say what was not reached, and how it might be."""
    known = {node.id: node for node in walk(nodes)}
    unreached = [row for row in rows if not all(v.reached for v in row.verdicts.values())]
    if look is None or not unreached:
        return []
    names = list(dict.fromkeys(known[row.fault.node].name for row in unreached))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    status = look.answer.status
    last = next((known[v.node] for v in reversed(look.visits) if v.phase == "before"), None)
    far = f", comes no further than {last.name}" if last is not None else ", does not pass there"
    return [
        Finding(
            kind="not-reached",
            text=f"{len(unreached)} of {len(rows)} faults could not be put, since the request, "
            f"answered {look.answer.said or 'with nothing'}{far}: "
            f"{', '.join(names[:5])}{more}",
            node=last.id if last is not None else "",
            remedy=_way_in(status, {known[row.fault.node].kind for row in unreached}),
        )
    ]


def _way_in(status: int | None, kinds: set[str]) -> str:
    if kinds == {"handler"}:
        return "these run for an error alone: choose a request that is answered by one of them"
    if status in (400, 421):
        return "ask for a host that the app answers for, --header 'Host: ...', or another --path"
    if status in (301, 302, 303, 307, 308, 401, 403, 407):
        return (
            "give what the app asks for with --header, such as 'Cookie: ...' or "
            "'Authorization: Bearer ...', or choose another --path"
        )
    return "choose a request that passes there: --path, --method"
