"""Checks, tests, demo and builds: `python -m pip install nox && python -m nox -s tests`.

Only pip is assumed: no uv, no interpreter besides the one that runs nox. Further interpreters
are found on PATH and under pyenv; those that are absent are skipped by name.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.5.1"

ROOT = Path(__file__).parent
PACKAGES = [
    "core",
    "aiohttp_ext",
    "django_ext",
    "flask_ext",
    "grpc_ext",
    "litestar_ext",
    "starlette_ext",
]
IMPORT_NAMES = ["everylayer", *(f"everylayer_{name.removesuffix('_ext')}" for name in PACKAGES[1:])]
SUPPORTED = ["3.10", "3.11", "3.12", "3.13", "3.14"]
# What depends on the interpreter by what it drives only: wheels, whole servers, measurements.
ONCE = [
    "tests/packaging",
    "tests/examples",
    "tests/benchmarks",
    "tests/boundaries/test_interleaved.py",
    "tests/chains",
    "tests/docs",
    "tests/fuzz",
    "tests/soak",
    "tests/audit/test_audit_whole.py",
    "tests/audit/test_demo.py",
    "tests/boundaries/tenant/test_ten_million_ids.py",
    "tests/core/redaction/test_hostile_time.py",
    "tests/matrix",
    "tests/boundaries/test_processes_celery.py",
    "tests/boundaries/test_processes_celery_stock.py",
    "tests/plugin/test_apps.py",
    "tests/prometheus",
    "tests/wire",
]
# What starts many processes, or is about texts: on the oldest and the newest interpreter.
AT_BOTH_ENDS = [
    "tests/aiohttp/test_aiohttp_audit.py",
    "tests/audit",
    "tests/core/redaction",
    "tests/grpc/test_grpc_streams.py",
    "tests/litestar/test_litestar_audit.py",
    "tests/sentry",
    "tests/telemetry",
]
# What has a session of its own.
BY_THEMSELVES = ["-m", "not release", "--ignore=tests/prefork", "--ignore=tests/site"]
LATEST = "tests/constraints/latest.txt"
LOWEST = "tests/constraints/lowest.txt"
# Most modules of what is installed are never imported, and what is compiles at its first import.
BYTECODE = [] if os.environ.get("PYTHONDONTWRITEBYTECODE") else ["--no-compile"]
# A file stays in one process. No second try for a crashed one: xdist waits for ever after it.
PARALLEL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart=0"]


def answers(command: str, version: str) -> bool:
    """Whether `command` runs Python `version`: a pyenv shim is on PATH for versions not chosen."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        answer = subprocess.run([command, "-c", code], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


def under_pyenv(version: str) -> list[Path]:
    """Return the folders of pyenv's builds of `version`, newest patch first."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    patches = {
        int(patch): home / "bin"
        for home in (root / "versions").glob(f"{version}.*")
        if (patch := home.name.removeprefix(f"{version}.")).isdigit()
    }
    return [patches[patch] for patch in sorted(patches, reverse=True)]


def find_interpreters() -> list[str]:
    """Return the supported versions that are there, and put on PATH those that were not."""
    present = []
    for version in SUPPORTED:
        command = f"python{version}"
        if version == "{}.{}".format(*sys.version_info) or answers(command, version):
            present.append(version)
            continue
        for folder in under_pyenv(version):
            if answers(str(folder / command), version):
                os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
                present.append(version)
                break
    return present


PRESENT = find_interpreters()
NEWEST = PRESENT[-1] if PRESENT else None

nox.options.sessions = ["lint", "types", "docs", "tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
# An absent version is named as skipped where another one runs; where none can, that is a failure.
nox.options.error_on_missing_interpreters = not PRESENT


def project(name: str) -> dict[str, Any]:
    """Return what the package in this folder says of itself."""
    about: dict[str, Any] = nox.project.load_toml(f"packages/{name}/pyproject.toml")["project"]
    return about


def requirements(*groups: str) -> list[str]:
    """Return what the named groups list."""
    return list(nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups))


@functools.cache
def folder_of_wheels() -> tempfile.TemporaryDirectory[str]:
    """Return the folder that lasts as long as this run."""
    return tempfile.TemporaryDirectory(prefix="wheels-")


def wheels(session: nox.Session) -> list[str]:
    """Return our distributions as wheels, built once a run: they are the same for each Python."""
    place = Path(folder_of_wheels().name)
    if len(list(place.iterdir())) < len(PACKAGES):
        session.install("--constraint", LATEST, "hatchling")
        # In this environment: seven others to build in take half a minute to make.
        pip = ["python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        ours = [f"./packages/{name}" for name in PACKAGES]
        session.run_install(*pip, "--wheel-dir", str(place), *ours)
    return sorted(map(str, place.iterdir()))


def install(session: nox.Session, group: str, constraints: str | None = LATEST) -> None:
    """Install our packages as wheels, so that what is tested is what is shipped."""
    ours = wheels(session)
    # pip leaves alone what was installed of that version before, however old it is.
    session.install("--no-deps", "--force-reinstall", *BYTECODE, *ours)
    chosen = ["--constraint", constraints] if constraints else []
    session.install(*BYTECODE, *chosen, *ours, *requirements(group))


@nox.session(python=NEWEST)
def dev(session: nox.Session) -> None:
    """Make .venv to work in: the packages as they stand in the tree, and every tool."""
    groups = requirements("test", "lint", "types", "docs")
    ours = [part for name in PACKAGES for part in ("--editable", f"packages/{name}")]
    session.run("python", "-m", "venv", ".venv")
    python = str(Path(".venv", "Scripts" if os.name == "nt" else "bin", "python"))
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", LATEST]
    session.run(*pip, *ours, *groups, external=True)
    session.log(f"ready: {python} -m pytest tests/core")


@nox.session(python=SUPPORTED)
def tests(session: nox.Session) -> None:
    """Run the suite: whole on the newest interpreter, the seams on the others.

    The newest runs every case of the tables, the oldest every fourth, those between every tenth,
    chosen by name.
    """
    install(session, "test")
    args = session.posargs
    if not args:
        args = [*PARALLEL, *BY_THEMSELVES]
        if session.python != NEWEST:
            between = session.python != PRESENT[0]
            left_out = [*ONCE, *AT_BOTH_ENDS] if between else ONCE
            args += [f"--ignore={folder}" for folder in left_out]
            sample = 10 if between else 4
            session.log(f"Python {session.python} runs 1 in {sample} cases of each table")
            args.append(f"--sample={sample}")
    session.run("python", "-m", "pytest", *args)


@nox.session(python=NEWEST)
def coverage(session: nox.Session) -> None:
    """Run the whole suite and count the branches that it takes: 95 % at least."""
    install(session, "test")
    args = session.posargs or [*PARALLEL, *BY_THEMSELVES]
    session.run("python", "-m", "pytest", *args, "--cov", "--cov-report=term")


@nox.session(python=SUPPORTED[0])
def lowest(session: nox.Session) -> None:
    """Run the suite against the oldest dependencies that the packages allow."""
    install(session, "lowest", LOWEST)
    session.run("python", "-m", "pytest", *(session.posargs or [*PARALLEL, *BY_THEMSELVES]))


@nox.session(python=NEWEST)
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("--constraint", LATEST, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=NEWEST)
def types(session: nox.Session) -> None:
    """Check the packages with mypy, and a user's project with mypy and pyright."""
    install(session, "types")
    session.run("mypy")
    session.run("mypy", "--config-file=", "--strict", "--python-version=3.10", "tests/typed/shop")
    session.run("pyright", "--project", "tests/typed")
    session.run("python", "tests/typed/complete.py", *IMPORT_NAMES)


@nox.session(python=NEWEST)
def docs(session: nox.Session) -> None:
    """Build the documentation site into build/site, and check it page by page."""
    session.install("--constraint", LATEST, *BYTECODE, *requirements("docs"))
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})
    # Without the suite's own conftest, which wants the packages installed.
    session.run("python", "-m", "pytest", "--confcutdir=tests/site", "tests/site")


@nox.session(python=NEWEST)
def demo(session: nox.Session) -> None:
    """Show every layer of the five example apps failing, with stock alone and with everylayer."""
    install(session, "demo")
    session.run("python", "examples/demo.py", *session.posargs)


@nox.session(python=NEWEST)
def realapps(session: nox.Session) -> None:
    """Audit applications from PyPI that others wrote into docs; `-- httpbin` that one alone."""
    session.run("python", "tests/realapps", *session.posargs)


@nox.session(python=NEWEST)
def browser(session: nox.Session) -> None:
    """Look at the audit's report in the machine's Chromium; `-- --pictures FOLDER` keeps them."""
    install(session, "browser")
    session.run("python", "-m", "pytest", "tests/browser", *session.posargs)


@nox.session(python=NEWEST)
def bench(session: nox.Session) -> None:
    """Measure everything against stock instrumentation into docs; `-- --quick` a sample of it.

    `-- helpers` measures those for threads, tasks, processes and tenants against the plain ones,
    `-- imports` what importing everylayer adds.
    """
    install(session, "bench")
    part = session.posargs[0] if session.posargs[:1] in (["helpers"], ["imports"]) else None
    module = f"benchmarks.{part}" if part else "benchmarks"
    args = 1 if part else 0
    session.run("python", "-m", module, *session.posargs[args:])


@nox.session(python=NEWEST)
def chains(session: nox.Session) -> None:
    """Search for a chain or an input that goes wrong; `-- --chains 1000000 --seed 1` at length.

    Chains run in two processes, each with a seed of its own. `-- --fuzz SECONDS` fuzzes each
    parser for that long, guided by coverage.
    """
    install(session, "test")
    parser = argparse.ArgumentParser(prog="nox -s chains --", allow_abbrev=False)
    parser.add_argument("--chains", "--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--fuzz", type=int, default=0, metavar="SECONDS")
    given, more = parser.parse_known_args(session.posargs)
    paths = {"PYTHONPATH": os.pathsep.join(["tests/chains", "tests/support"])}
    if given.fuzz:
        fuzz(session, given.fuzz)
    args = [f"--chains={given.chains}", f"--seed={given.seed}", "--processes=2", *more]
    session.run("python", "-m", "chainlab", *args, env=paths)


def fuzz(session: nox.Session, seconds: int) -> None:
    """Run each fuzz target under atheris, or say that this interpreter has none."""
    try:
        session.install("--only-binary", ":all:", *requirements("fuzz"))
    except nox.command.CommandFailed:
        session.warn(f"atheris is not there for Python {session.python}: fuzzing is skipped")
        return
    for target in ("settings", "asgi_scope", "wsgi_environ", "text", "stack"):
        session.run("python", "tests/fuzz/long_run.py", target, f"-max_total_time={seconds}")


@nox.session(python=NEWEST)
def soak(session: nox.Session) -> None:
    """Keep every app under load, every fifth request failing; `-- --seconds N`, 600 by default."""
    install(session, "test")
    session.run("python", "tests/soak", *session.posargs)


@nox.session(python=NEWEST)
def sentry(session: nox.Session) -> None:
    """Close the loop over a real Sentry-compatible server, Bugsink, on the loopback."""
    # Not with the constraints: the server asks for a Django of its own.
    install(session, "sentry-server", constraints=None)
    session.run(
        "python", "-m", "pytest", *(session.posargs or ["tests/sentry/test_sentry_server.py"])
    )


@nox.session(python=NEWEST)
def backend(session: nox.Session) -> None:
    """Export a storm of errors into a real back end, MLflow on SQLite, and read it back."""
    # Not with the constraints: the server asks for versions of its own.
    install(session, "backend", constraints=None)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/backend"]))


@nox.session(python=NEWEST)
def envoy(session: nox.Session) -> None:
    """Ask three services through a real Envoy that tries again, on the loopback."""
    install(session, "envoy")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/envoy"]))


@nox.session(python=NEWEST)
def celery(session: nox.Session) -> None:
    """Have tasks done, fail and die in a Celery worker with forked processes."""
    install(session, "test")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/prefork"]))


@nox.session(python=NEWEST)
def migrations(session: nox.Session) -> None:
    """Run the programs of docs/migrate before and after, ddtrace's included."""
    install(session, "test")
    # Not with the constraints, nor for every Python: nothing else wants it.
    session.install("ddtrace>=4.16")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/docs/test_migrations.py"]))


@nox.session(python=NEWEST)
def prometheus(session: nox.Session) -> None:
    """Fire the alerts in deploy/prometheus: by promtool, and by a real Prometheus and an app."""
    absent = [name for name in ("promtool", "prometheus") if shutil.which(name) is None]
    if absent:
        session.skip(f"{' and '.join(absent)} not found: apt-get install prometheus")
    install(session, "prometheus")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/prometheus"]))


@nox.session(python=NEWEST)
def dashboard(session: nox.Session) -> None:
    """Write the dashboard, and draw it from two apps under a real Prometheus: 12 minutes."""
    if shutil.which("prometheus") is None:
        session.skip("prometheus not found: apt-get install prometheus")
    install(session, "picture")
    session.run("python", "deploy/grafana/dashboard.py")
    paths = {"PYTHONPATH": os.pathsep.join(["tests", "tests/prometheus", "examples"])}
    session.run("python", "-m", "picture", *session.posargs, env=paths)


@nox.session(python=NEWEST)
def upstream(session: nox.Session) -> None:
    """Run the frameworks' and stock's own suites, plain and with everylayer, into docs."""
    install(session, "upstream")
    # Flask's and FastAPI's suites do not run under a newer pytest than they knew.
    session.install("pytest>=9.0,<9.1")
    session.run("python", "-m", "upstream", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python=NEWEST)
def matrix(session: nox.Session) -> None:
    """Probe every supported version beside every other one into docs.

    `-- aiohttp litestar` those frameworks only, `-- --quick` three rows each, written nowhere.
    """
    session.install("pip>=24.1")
    absent = [version for version in SUPPORTED if version not in PRESENT]
    for version in absent:
        session.warn(f"Python {version} is not there: its rows are skipped")
    args = [*session.posargs, "--pythons", *PRESENT, "--absent", *absent]
    session.run("python", "-m", "matrix", *args, env={"PYTHONPATH": "tests"})


@nox.session(python=NEWEST)
def build(session: nox.Session) -> None:
    """Build a wheel and a source distribution of each package into dist/, once they install.

    `-- v1.2.3` builds nothing unless that is the version of each package and of the changelog.
    """
    if session.posargs:
        (tag,) = session.posargs
        told = {name: f"v{project(name)['version']}" for name in PACKAGES}
        latest = Path("CHANGELOG.md").read_text(encoding="utf-8").partition("\n## ")[2].split()[:2]
        if {*told.values(), f"v{latest[0]}"} != {tag} or latest[1] == "(unreleased)":
            session.error(
                f"{tag} is not what the packages ({told}) and CHANGELOG.md ({latest}) say"
            )
    install(session, "test")
    session.run("python", "-m", "pytest", "tests/packaging/test_wheels.py")
    session.install("build")
    shutil.rmtree("dist", ignore_errors=True)
    for name in PACKAGES:
        session.run("python", "-m", "build", "--outdir", "dist", f"packages/{name}")


@nox.session(python=NEWEST)
def sbom(session: nox.Session) -> None:
    """List what each distribution brings with it, as CycloneDX files in sbom/; after `build`."""
    session.install("cyclonedx-bom>=7")
    shutil.rmtree("sbom", ignore_errors=True)
    Path("sbom").mkdir()
    for name in PACKAGES:
        distribution, version = project(name)["name"], project(name)["version"]
        place = Path(session.create_tmp()) / name
        session.run("python", "-m", "venv", "--clear", "--without-pip", str(place))
        python = str(place / ("Scripts" if os.name == "nt" else "bin") / "python")
        pip = ["python", "-m", "pip", "--python", python, "install", "--quiet"]
        session.run(*pip, "--find-links=dist", f"{distribution}=={version}")
        about = [f"--pyproject=packages/{name}/pyproject.toml", "--output-reproducible"]
        target = f"--output-file=sbom/{distribution}-{version}.cdx.json"
        session.run("cyclonedx-py", "environment", *about, target, python)


@nox.session(python=NEWEST)
def constraints(session: nox.Session) -> None:
    """Write the newest versions that resolve on each Python present to the constraints file."""
    ours = [f"./packages/{name}" for name in PACKAGES]
    groups = requirements("types", "lint", "browser", "prometheus", "docs")
    session.run("python", "tests/constraints/refresh.py", *PRESENT, "--", *ours, *groups)
