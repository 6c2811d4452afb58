"""What a report comes to, in numbers."""

from __future__ import annotations

from ..model import Report, Row, Verdict

TELEMETRY = ("stock", "everylayer")


def totals(report: Report) -> dict[str, dict[str, int]]:
    """Return by arm how many faults were `put`, and how many of them `lost` or `unreached`."""
    return {
        arm: _of(arm, report.rows)
        for arm in TELEMETRY
        if any(arm in row.verdicts for row in report.rows)
    }


def passed(report: Report) -> bool:
    """Tell whether everylayer has lost nothing and changed nothing."""
    return all(row.verdicts["everylayer"].ok for row in report.rows)


def judged(row: Row, arm: str) -> Verdict:
    """Return the verdict on `arm`; one that did not run has reached nothing."""
    return row.verdicts.get(arm, Verdict(reached=False))


def _of(arm: str, rows: tuple[Row, ...]) -> dict[str, int]:
    verdicts = [judged(row, arm) for row in rows]
    put = [verdict for verdict in verdicts if verdict.reached]
    return {
        "put": len(put),
        "lost": sum(not verdict.ok for verdict in put),
        "unreached": len(verdicts) - len(put),
    }
