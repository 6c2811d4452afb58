"""What importing everylayer adds to a process that has opentelemetry-api already.

CPU time of whole child processes, taken in turns: the aim is 30 ms on an idle machine.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

ROUNDS = 30
AIM_MS = 30.0
API = "from opentelemetry import context, propagate, trace"
ARMS = {
    "opentelemetry-api": API,
    "everylayer": f"{API}\nimport everylayer",
    "everylayer, settings read": f"{API}\nimport everylayer\neverylayer.Settings()",
}


def cpu_ms(code: str) -> float:
    """Return the CPU time of a Python that runs `code`, start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def main() -> int:
    for code in ARMS.values():
        cpu_ms(code)
    taken = [{name: cpu_ms(code) for name, code in ARMS.items()} for _ in range(ROUNDS)]
    base = "opentelemetry-api"
    print(f"{base}: {statistics.median(one[base] for one in taken):.1f} ms")
    added = {
        name: statistics.median(one[name] - one[base] for one in taken)
        for name in ARMS
        if name != base
    }
    for name, more in added.items():
        print(f"{name}: {more:.1f} ms more")
    met = added["everylayer"] <= AIM_MS
    print(f"{'met' if met else 'missed'}: at most {AIM_MS:.0f} ms")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
