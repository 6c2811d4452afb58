"""Serve every app where `opentelemetry-sdk` is not installed; print what differs, as JSON.

A process of its own: the SDK is hidden before anything is imported.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]
HIDDEN = ("opentelemetry.sdk", "opentelemetry.exporter")


class Hidden(MetaPathFinder):
    """Finds nothing of the SDK, as if only the API were installed."""

    def find_spec(self, name: str, *args: Any) -> None:
        if name.startswith(HIDDEN):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main() -> None:
    """Compare each app with everylayer, and with stock besides, with the bare app."""
    sys.meta_path.insert(0, Hidden())
    logging.disable(logging.CRITICAL)
    from contract.responses import differences
    from everylayer import own_failures
    from kit_apps import BARE, BOTH, FRAMEWORKS, OURS, STOCK, call, served
    from kit_faults import KINDS

    wrong: list[str] = []
    served_requests = 0
    # Stock asks for a tracer at its start, and cannot start where there is none to be had.
    arms = (OURS,) if os.environ.get("OTEL_PYTHON_TRACER_PROVIDER") else (OURS, BOTH)
    for framework in FRAMEWORKS:
        answers = {}
        for arm in (BARE, *arms, *((STOCK,) if BOTH in arms else ())):
            with served(framework, arm) as app:
                answers[arm] = {k: call(app, framework, f"/{k}/1") for k in KINDS}
        for arm in arms:
            for kind in KINDS:
                served_requests += 1
                candidates = [answers[BARE], answers[STOCK if arm is BOTH else BARE]]
                found = [differences(one[kind], answers[arm][kind]) for one in candidates]
                if all(found):
                    wrong.append(f"{framework} {arm} {kind}: {found[0]}")
    loaded = sorted(name for name in sys.modules if name.startswith(HIDDEN))
    failures = dict(own_failures())
    line = {"wrong": wrong, "served": served_requests, "sdk": loaded, "failures": failures}
    sys.stdout.write(json.dumps(line))


if __name__ == "__main__":
    main()
