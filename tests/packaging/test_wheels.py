"""What is shipped: built from the source distribution, installed where nothing else is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.wheels

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "everylayer": "core",
    "everylayer_aiohttp": "aiohttp_ext",
    "everylayer_django": "django_ext",
    "everylayer_flask": "flask_ext",
    "everylayer_grpc": "grpc_ext",
    "everylayer_litestar": "litestar_ext",
    "everylayer_starlette": "starlette_ext",
}
FRAMEWORKS = {
    "everylayer_aiohttp": ("aiohttp>=3.11", {"asgi"}, "EveryLayerAiohttpInstrumentor"),
    "everylayer_django": ("django>=4.2", {"asgi", "wsgi"}, "EveryLayerDjangoInstrumentor"),
    "everylayer_flask": ("flask>=2.3", {"wsgi"}, "EveryLayerFlaskInstrumentor"),
    "everylayer_grpc": ("grpcio>=1.60", set(), "EveryLayerGrpcInstrumentor"),
    "everylayer_litestar": ("litestar>=2.15", {"asgi"}, "EveryLayerLitestarInstrumentor"),
    "everylayer_starlette": ("starlette>=0.37", {"asgi"}, "EveryLayerStarletteInstrumentor"),
}
# What is for an extra alone is loaded where that is installed, and named where it is not.
LOAD_ALL = """
import importlib, pkgutil, sys
missing = set()
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    # `walk_packages` would hide what cannot be imported.
    pending = [(package.__path__, name + ".")]
    while pending:
        for module in pkgutil.iter_modules(*pending.pop()):
            if module.name.endswith(".__main__"):
                continue
            try:
                made = importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                missing.add(error.name.partition(".")[0])
            except (ImportError, ValueError) as error:
                # In words of its own, which name what to install.
                said = str(error)
                if "need the extra" in said:
                    missing.add("cryptography")
                elif "pip install opentelemetry-sdk" in said:
                    missing.add("opentelemetry")
                else:
                    raise
            else:
                if module.ispkg:
                    pending.append((made.__path__, module.name + "."))
print(*missing)
"""
# Has no classes that stock replaces later.
NOTHING_AFTER_STOCK = {"everylayer_litestar"}
BINARY = {"everylayer-grpc-bin": "everylayer_grpc.binary:BinaryPropagator"}
# What the extras of core bring.
OPTIONAL = {
    "celery", "click", "cryptography", "httpx", "opentelemetry", "pytest", "requests", "rich",
    "sentry_sdk", "tblib", "urllib3", "wrapt",
}  # fmt: skip
# Clients are whatever the app has; Celery brings much, and nobody needs it for the rest.
NOT_INSTALLED = {"celery", "httpx", "requests", "urllib3"}
NO_FRAMEWORK = """
loaded = {name.partition(".")[0] for name in sys.modules}
web = {"aiohttp", "asgiref", "django", "fastapi", "flask", "grpc", "litestar", "starlette"}
found = loaded & {*web, "werkzeug"}
assert not found, found
"""
# As the script that pip makes of the entry point; it says what is missing, and no more.
COMMAND = """
import contextlib, io, sys
from everylayer.__main__ import main
said = io.StringIO()
with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
    with contextlib.suppress(SystemExit):
        main()
print(said.getvalue().strip(), end="")
"""
MISSING = "the command needs: pip install 'everylayer[audit]'"
LOAD_ENTRY_POINTS = """
import sys
from importlib.metadata import entry_points
for group in ("opentelemetry_instrumentor", "opentelemetry_post_instrument"):
    found = {entry.name: entry for entry in entry_points(group=group)}
    for name in sys.argv[1:]:
        if name in found or group == "opentelemetry_instrumentor":
            assert callable(found[name].load())
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    answer = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Import name -> wheel, each built from the unpacked source distribution."""
    built = {}
    for package, folder in FOLDERS.items():
        base = tmp_path_factory.mktemp(package)
        hatchling = (sys.executable, "-m", "hatchling", "build", "--directory", base)
        run(*hatchling, "--target", "sdist", cwd=ROOT / "packages" / folder)
        (sdist,) = base.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            # Patch releases before 3.10.12 and 3.11.4 have no filter; the archive is our own.
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(base, **safe)
        run(*hatchling, "--target", "wheel", cwd=base / sdist.name.removesuffix(".tar.gz"))
        (built[package],) = base.glob("*.whl")
    return built


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (n for n in archive.namelist() if n.endswith(f".dist-info/{name}"))
        return archive.read(member).decode()


def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, "METADATA"))


def entry_points(wheel: Path) -> dict[str, dict[str, str]]:
    parser = ConfigParser(delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(read(wheel, "entry_points.txt"))
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.mark.parametrize("package", FOLDERS)
def test_a_wheel_holds_its_sources_marker_and_licence(
    wheels: Mapping[str, Path], package: str
) -> None:
    with zipfile.ZipFile(wheels[package]) as archive:
        names = set(archive.namelist())
    source = ROOT / "packages" / FOLDERS[package] / "src"
    expected = {
        str(path.relative_to(source))
        for path in source.rglob("*.*")
        if path.suffix in (".py", ".css", ".html", ".js", ".txt")
    }
    shipped = {name for name in names if ".dist-info/" not in name}
    assert ("everylayer_pytest.py" in shipped) == (package == "everylayer")
    assert shipped == expected | {f"{package}/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.parametrize("package", FOLDERS)
def test_metadata_says_what_it_is(wheels: Mapping[str, Path], package: str) -> None:
    found = metadata(wheels[package])
    classifiers = found.get_all("Classifier") or []
    assert found["Name"] == package.replace("_", "-")
    assert found["Version"] == metadata(wheels["everylayer"])["Version"]
    assert found["Requires-Python"] == ">=3.10"
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Summary"]
    assert f"# {found['Name']}" in found.get_payload()
    assert "Typing :: Typed" in classifiers
    for minor in range(10, 15):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_a_framework_package_requires_core_its_framework_and_contribs_helpers(
    wheels: Mapping[str, Path], package: str
) -> None:
    framework, kinds, _ = FRAMEWORKS[package]
    listed = [Requirement(line) for line in metadata(wheels[package]).get_all("Requires-Dist")]
    always = {str(r) for r in listed if r.marker is None}
    extra = {f"{r.name}{r.specifier}" for r in listed if "instruments" in str(r.marker)}
    names = {Requirement(line).name for line in always}
    assert framework in always
    assert extra == {framework}, "what opentelemetry-instrument checks before it loads us"
    assert {n for n in names if n.startswith("opentelemetry-instrumentation-")} == {
        f"opentelemetry-instrumentation-{kind}" for kind in kinds
    }
    # That comes with core; a package may name it too.
    assert len(names - {"opentelemetry-instrumentation"}) == 2 + len(kinds)
    assert "everylayer" in names


def test_core_requires_no_framework_and_what_few_want_is_an_extra(
    wheels: Mapping[str, Path],
) -> None:
    listed = [Requirement(line) for line in metadata(wheels["everylayer"]).get_all("Requires-Dist")]
    assert {r.name for r in listed if r.marker is None} == {
        "opentelemetry-api",
        "opentelemetry-instrumentation",
        "opentelemetry-semantic-conventions",
    }
    extras = {
        name: {
            each.name
            for each in listed
            if each.marker and each.marker.evaluate({"extra": name, "python_version": "3.10"})
        }
        for name in metadata(wheels["everylayer"]).get_all("Provides-Extra")
    }
    assert extras == {
        "audit": {"click", "opentelemetry-sdk", "rich", "wrapt"},
        "celery": {"celery", "tblib"},
        "processes": {"tblib"},
        "pytest": {"opentelemetry-sdk", "pytest"},
        "redaction": {"cryptography", "tomli"},
        "sentry": {"sentry-sdk"},
    }
    assert entry_points(wheels["everylayer"]) == {
        "console_scripts": {"everylayer": "everylayer.__main__:main"},
        "opentelemetry_id_generator": {"everylayer": "everylayer.boundaries.ids:TenantIdGenerator"},
        "opentelemetry_propagator": {
            "everylayer": "everylayer.boundaries.propagator:Propagator",
            "everylayer-ot": "everylayer.boundaries.opentracing:OpenTracingPropagator",
        },
        "pytest11": {"everylayer": "everylayer_pytest"},
    }


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_entry_points_are_where_opentelemetry_instrument_looks(
    wheels: Mapping[str, Path], package: str
) -> None:
    module = f"{package}.instrumentor"
    framework = package.removeprefix("everylayer_")
    after = {"opentelemetry_post_instrument": {package: f"{module}:post_instrument"}}
    assert entry_points(wheels[package]) == {
        "opentelemetry_instrumentor": {package: f"{module}:{FRAMEWORKS[package][2]}"},
        "everylayer_audit": {framework: f"{package}.audit:{framework.title()}Adapter"},
        **({} if package in NOTHING_AFTER_STOCK else after),
        **({"opentelemetry_propagator": BINARY} if package == "everylayer_grpc" else {}),
    }


# One of each kind, and all together; each by itself before a release.
ALONE = [
    pytest.param(
        name, marks=[] if name in ("everylayer", "everylayer_django") else [pytest.mark.release]
    )
    for name in FOLDERS
]


@pytest.mark.parametrize("package", [*ALONE, "all"])
def test_an_empty_environment_is_enough(
    wheels: Mapping[str, Path], tmp_path: Path, package: str
) -> None:
    chosen = list(FOLDERS) if package == "all" else [package]
    targets: list[Path | str]
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    links = [f"--find-links={wheel.parent}" for wheel in wheels.values()]
    constraints = ROOT / "tests" / "constraints" / "latest.txt"
    targets = [wheels[name] for name in chosen]
    if package == "all":
        targets.append(f"{wheels['everylayer']}[audit,processes,pytest,redaction,sentry]")
    run(*pip, "install", "--quiet", "--no-compile", "--constraint", constraints, *links, *targets)
    run(*pip, "check")

    after = NO_FRAMEWORK if package == "everylayer" else ""
    missing = run(python, "-c", LOAD_ALL + after, *chosen, cwd=tmp_path).split()
    assert set(missing) <= (NOT_INSTALLED if package == "all" else OPTIONAL)
    run(python, "-c", LOAD_ENTRY_POINTS, *(n for n in chosen if n in FRAMEWORKS), cwd=tmp_path)
    command = run(python, "-c", COMMAND, "--version", cwd=tmp_path)
    version = metadata(wheels["everylayer"])["Version"]
    assert command == (f"everylayer {version}" if package == "all" else MISSING)
