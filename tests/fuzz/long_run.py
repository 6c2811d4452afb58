"""Coverage-guided search for a failing input: `python tests/fuzz/long_run.py asgi_scope`.

Arguments after the name go to libFuzzer, `-max_total_time=600` for one. Needs atheris.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "support")]

with atheris.instrument_imports(include=["everylayer"]):
    import test_fuzz
    from contract.telemetry import session

TARGETS = {
    name.removeprefix("test_"): test
    for name, test in vars(test_fuzz).items()
    if name.startswith("test_")
}


def main() -> None:
    """Fuzz the target that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name one of {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target.hypothesis.fuzz_one_input)
    with session():
        atheris.Fuzz()


if __name__ == "__main__":
    main()
