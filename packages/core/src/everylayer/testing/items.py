"""The audit as tests: one item for each fault, and the audit itself once for all of them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..audit.decode import decode
from ..audit.model import ChainNode, Fault, Report, Request, Row
from ..audit.plan import Plan, walk
from ..audit.report import json_report
from ..audit.report.saved import report_of
from ..audit.session import Wanted
from ..audit.wire import Chained, TargetError, dump
from .audits import only, plan_of, reasons, run_plan

MARK = "everylayer_audit"


class Lost(Exception):
    """What is wrong with one fault, in words."""


class SessionAudit:
    """The audit of a run; xdist's controller plans it, one of its workers does it."""

    def __init__(self, wanted: Wanted, chained: Chained, plan: Plan, folder: Path) -> None:
        self._wanted = wanted
        self._chained = chained
        self._plan = plan
        self._folder = folder
        self._rows: dict[str, Row] = {}
        self.report: Report | None = None

    @classmethod
    def planned(cls, wanted: Wanted) -> SessionAudit:
        """Open the app once, and see what a request passes.

        Raises:
            pytest.UsageError: that cannot be done.
        """
        try:
            chained, plan = plan_of(wanted)
        except TargetError as error:
            raise pytest.UsageError(f"--everylayer-audit: {error}") from None
        return cls(wanted, chained, plan, Path(tempfile.mkdtemp(prefix="everylayer-audit-")))

    def to_worker(self) -> dict[str, str]:
        """Return what a worker needs of this, for `of_worker`."""
        return {
            "wanted": dump(self._wanted),
            "chained": dump(self._chained),
            "plan": dump(self._plan),
            "folder": str(self._folder),
        }

    @classmethod
    def of_worker(cls, given: dict[str, str]) -> SessionAudit:
        """Return what the controller has planned."""
        wanted = decode(Wanted, json.loads(given["wanted"]), "list of layers")
        chained = decode(Chained, json.loads(given["chained"]), "chain")
        plan = decode(Plan, json.loads(given["plan"]), "plan")
        return cls(wanted, chained, plan, Path(given["folder"]))

    def remove(self) -> None:
        """Remove the folder that workers share."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def items(self, session: pytest.Session) -> Iterator[AuditItem]:
        """Yield one test for each fault, in the order of the chain."""
        parent = AuditCollector.from_parent(session, name="everylayer", nodeid="everylayer")
        known = {node.id: node for node in walk(self._chained.nodes)}
        tried = {fault.node for fault in self._plan.faults}
        names = Counter(known[each].name for each in tried)
        for fault in self._plan.faults:
            node = known[fault.node]
            layer = node.name if names[node.name] == 1 else f"{node.name}[{node.id}]"
            shape = "cancelled" if fault.error == "cancelled" else fault.shape
            name = f"{layer}::{fault.phase}::{shape}"
            yield AuditItem.from_parent(parent, name=name, fault=fault, node=node, audit=self)

    def row(self, fault: Fault, session: pytest.Session) -> Row | None:
        """Return what came of `fault`, None if it was not reached at all.

        The audit is of those faults that the session has selected.
        """
        if self.report is None:
            chosen = [each.fault.token for each in session.items if isinstance(each, AuditItem)]
            self.report = self._shared(only(self._plan, chosen))
            self._rows = {row.fault.token: row for row in self.report.rows}
        return self._rows.get(fault.token)

    def _shared(self, plan: Plan) -> Report:
        """Do the audit, or wait for the worker that does it."""
        import fcntl  # Where there is none, the plan has said that the audit cannot be done.

        saved = self._folder / "report.json"
        failed = self._folder / "failed.txt"
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if failed.exists():
                raise TargetError(failed.read_text(encoding="utf-8"))
            if not saved.exists():
                try:
                    report = run_plan(self._wanted, self._chained, plan)
                except TargetError as error:
                    failed.write_text(str(error), encoding="utf-8")
                    raise
                saved.write_text(json_report.render(report), encoding="utf-8")
        return report_of(json.loads(saved.read_text(encoding="utf-8")))


class AuditCollector(pytest.Collector):
    """What the items of an audit stand under."""

    def collect(self) -> list[pytest.Item]:
        return []


class AuditItem(pytest.Item):
    """One fault in one layer."""

    def __init__(
        self, *, fault: Fault, node: ChainNode, audit: SessionAudit, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self._node = node
        self._audit = audit
        self.add_marker(MARK)
        if self.config.pluginmanager.hasplugin("xdist"):
            # With `--dist loadgroup` all of them are one worker's.
            self.add_marker(pytest.mark.xdist_group(MARK))

    def runtest(self) -> None:
        row = self._audit.row(self.fault, self.session)
        report = self._audit.report
        verdict = row.verdicts.get("everylayer") if row is not None else None
        if row is None or verdict is None or not verdict.reached or report is None:
            pytest.skip("the request does not pass here")
        if not verdict.ok:
            raise Lost("\n".join(reasons(report, row)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, (Lost, TargetError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path | str, int | None, str]:
        file, _, line = self._node.where.rpartition(":")
        if not file or not line.isdigit():
            return "everylayer", None, self.name
        return file, int(line) - 1, self.name


def wanted_by(target: str, path: str, method: str, headers: list[str], factory: bool) -> Wanted:
    """Return what the options ask for.

    Raises:
        pytest.UsageError: one of them is wrong.
    """
    if not path.startswith("/") or any(char.isspace() for char in path):
        raise pytest.UsageError(
            f"everylayer_audit_path {path!r} is no path: it begins with / and has no spaces"
        )
    pairs = []
    for text in headers:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise pytest.UsageError(
                f"everylayer_audit_headers {text!r} is no header: write 'Name: value'"
            )
        pairs.append((name.strip(), value.strip()))
    return Wanted(target, factory, Request(method.upper(), path, tuple(pairs)))
