"""Audit real applications, hold each verdict against the spans, and put the figures into docs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from apps import APPS, App

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOC = ROOT / "docs" / "audit.md"
BEGIN, END = "<!-- real apps -->", "<!-- end of real apps -->"
STOCK = {
    "django": ("django",),
    "flask": ("flask",),
    "starlette": ("starlette", "fastapi", "asgi"),
}
# What the audit may take on two free cores, seconds.
LIMIT = 60.0


def main() -> int:
    """Audit the apps named, or all; return 1 if a verdict is not what the spans say."""
    parser = argparse.ArgumentParser(prog="nox -s realapps --", allow_abbrev=False)
    parser.add_argument("apps", nargs="*", metavar="APP")
    wanted = parser.parse_args().apps
    rows, wrong = [], []
    for app in APPS:
        if not wanted or app.package in wanted:
            report, version = audit(app)
            rows.append(row(app, version, report))
            wrong += [f"{app.package}: {each}" for each in disagreements(report)]
            if report["seconds"] > LIMIT:
                wrong.append(f"{app.package}: took {report['seconds']} s")
            print(rows[-1], flush=True)
    if not wanted:
        write(rows)
    print("\n".join(wrong))
    return 1 if wrong else 0


def audit(app: App) -> tuple[dict[str, Any], str]:
    """Return the report on `app`, installed anew, and its version."""
    with tempfile.TemporaryDirectory() as folder:
        home, work = Path(folder, "venv"), Path(folder, "work")
        work.mkdir()
        venv.create(home, with_pip=True)
        python = str(home / "bin" / "python")
        install(python, app)
        env = {
            **os.environ,
            "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(HERE / "targets"), str(work)]),
            "DJANGO_SETTINGS_MODULE": app.target if app.framework == "django" else "",
        }
        for command in app.prepare:
            program = str(home / "bin" / command[0])
            subprocess.run([program, *command[1:]], cwd=work, env=env, check=True)
        report = work / "report.json"
        options = ["--path", app.path, "--format", "json", "--output", str(report)]
        command = [python, "-m", "everylayer", "audit", app.target, *options]
        code = subprocess.run(command, cwd=work, env=env, timeout=300).returncode
        if code not in (0, 1):
            raise SystemExit(f"{app.package} could not be audited: exit code {code}")
        show = f"from importlib.metadata import version; print(version({app.package!r}))"
        version = subprocess.run([python, "-c", show], check=True, capture_output=True, text=True)
        return json.loads(report.read_text()), version.stdout.strip()


def install(python: str, app: App) -> None:
    """Install the app, stock instrumentation, and everylayer from this checkout."""
    stock = [f"opentelemetry-instrumentation-{name}" for name in STOCK[app.framework]]
    ours = [f"{ROOT / 'packages' / 'core'}[audit]", str(ROOT / f"packages/{app.framework}_ext")]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, app.package, *app.more, *stock, *ours], check=True)


def disagreements(report: dict[str, Any]) -> Iterator[str]:
    """Yield where a verdict says otherwise than a search of the exported spans for the fault."""
    for each in report["rows"]:
        fault = each["fault"]
        if fault["error"] != "error" or fault["shape"] != "raised":
            continue
        for arm, verdict in each["verdicts"].items():
            if verdict["reached"] and verdict["event"] != found(fault, each["trials"][arm]):
                yield f"{fault['node']} {fault['phase']} in {arm}: event is {verdict['event']}"


def found(fault: dict[str, Any], trial: dict[str, Any]) -> bool:
    """Tell whether any server span, or late one, has an event with the fault's own token."""
    return any(
        fault["token"] in str(event["attributes"])
        for span in trial["spans"]
        if span["kind"] == "SERVER" or span["name"].endswith(" (late)")
        for event in span["events"]
    )


def row(app: App, version: str, report: dict[str, Any]) -> str:
    """Return the app's line of the table."""
    stock, ours = (report["summary"].get(arm, {}) for arm in ("stock", "everylayer"))
    layers = {each["fault"]["node"] for each in report["rows"]}
    cells = [
        app.package,
        version,
        app.framework,
        len(layers),
        ours["put"],
        stock.get("lost", "-"),
        ours["lost"],
        f"{report['seconds']:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def write(rows: Sequence[str]) -> None:
    """Put the table into the page."""
    before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
    head = "| app | version | framework | layers | faults | stock lost | everylayer lost | s |"
    table = "\n".join([head, "|---|---|---|--:|--:|--:|--:|--:|", *rows])
    after = rest.partition(END)[2]
    DOC.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
