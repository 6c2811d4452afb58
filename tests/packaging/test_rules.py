"""The rules of the code base that no linter knows, read from the sources."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "everylayer": ROOT / "packages" / "core",
    "everylayer_aiohttp": ROOT / "packages" / "aiohttp_ext",
    "everylayer_django": ROOT / "packages" / "django_ext",
    "everylayer_flask": ROOT / "packages" / "flask_ext",
    "everylayer_grpc": ROOT / "packages" / "grpc_ext",
    "everylayer_litestar": ROOT / "packages" / "litestar_ext",
    "everylayer_starlette": ROOT / "packages" / "starlette_ext",
}
MAX_LINES = 400
WEB = {
    "aiohttp", "asgiref", "django", "fastapi", "flask", "grpc", "litestar", "starlette", "werkzeug",
}  # fmt: skip
# Who may import which web framework; core is absent because it may import none.
OWN_WEB = {
    "everylayer_aiohttp": {"aiohttp"},
    "everylayer_django": {"asgiref", "django"},
    "everylayer_flask": {"flask", "werkzeug"},
    "everylayer_grpc": {"grpc"},
    "everylayer_litestar": {"litestar"},
    "everylayer_starlette": {"fastapi", "starlette"},
}
# Values and rules, each testable without a span.
PURE = ["chain", "error_record", "layers", "policy", "rendering", "settings", "stacktrace", "text"]
# What few load, and may need what its extra brings.
# Chaos finds its way into an app as the audit does; whoever does not ask for it loads neither.
EXTRA_OF = {
    "audit": "audit",
    "chaos": "audit",
    "cli.py": "audit",
    "__main__.py": "audit",
    "redaction/dry_run_command.py": "audit",
    "redaction/reveal_command.py": "audit",
    # Whoever has an exporter to put it before has the SDK.
    "redaction/exporting.py": "audit",
    "tenant_command.py": "audit",
    "testing": "pytest",
}
# Where an import name is not the name of the distribution that brings it; longest prefix wins.
BROUGHT_BY = {
    "anyio": {"starlette"},
    "asgiref": {"django", "opentelemetry-instrumentation-asgi"},
    "blinker": {"flask"},
    "grpc": {"grpcio"},
    "opentelemetry": {"opentelemetry-api"},
    "opentelemetry.instrumentation": {"opentelemetry-instrumentation"},
    "opentelemetry.instrumentation.asgi": {"opentelemetry-instrumentation-asgi"},
    "opentelemetry.instrumentation.wsgi": {"opentelemetry-instrumentation-wsgi"},
    "opentelemetry.sdk": {"opentelemetry-sdk"},
    "opentelemetry.semconv": {"opentelemetry-semantic-conventions"},
    "opentelemetry.util.http": {
        "opentelemetry-instrumentation-asgi",
        "opentelemetry-instrumentation-wsgi",
        "opentelemetry-util-http",
    },
    "sentry_sdk": {"sentry-sdk"},
    "werkzeug": {"flask"},
    "wrapt": {"opentelemetry-instrumentation"},
}

MODULES = [
    pytest.param(package, path, id=str(path.relative_to(folder / "src")))
    for package, folder in FOLDERS.items()
    for path in sorted((folder / "src" / package).rglob("*.py"))
]


def project(package: str) -> dict[str, object]:
    text = (FOLDERS[package] / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


def declared(package: str) -> dict[str, Requirement]:
    listed = project(package)["dependencies"]
    assert isinstance(listed, list)
    return {canonicalize_name(r.name): r for r in map(Requirement, listed)}


def brought_by_an_extra(package: str, path: Path) -> set[str]:
    """Return what an extra brings to a module that only the command, or a test, imports."""
    inner = path.relative_to(FOLDERS[package] / "src" / package)
    extra = EXTRA_OF.get(inner.as_posix()) or EXTRA_OF.get(inner.parts[0])
    extras = project("everylayer")["optional-dependencies"]
    assert isinstance(extras, dict)
    lines = extras[extra] if extra is not None else []
    return {canonicalize_name(Requirement(line).name) for line in lines}


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def names_imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        # `from a.b import c` may import the module a.b.c: keep the longer name, prefixes decide.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {name for node in ast.walk(tree) for name in names_imported(node)}


def imports_when_loaded(path: Path) -> set[str]:
    """What the module cannot be loaded without: nothing in functions, in `try`, or for typing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = [n for n in tree.body if not is_type_checking(n) and not isinstance(n, ast.Try)]
    return {name for node in plain for name in names_imported(node)}


def root_of(name: str) -> str:
    return name.partition(".")[0]


def brought_by(name: str) -> set[str]:
    known = [p for p in BROUGHT_BY if name == p or name.startswith(f"{p}.")]
    return BROUGHT_BY[max(known, key=len)] if known else {canonicalize_name(root_of(name))}


def test_the_plugin_that_every_run_of_pytest_loads_imports_pytest_alone() -> None:
    path = FOLDERS["everylayer"] / "src" / "everylayer_pytest.py"
    loaded = {root_of(name) for name in imports_when_loaded(path)}
    assert loaded <= {"pytest", *sys.stdlib_module_names}


def test_every_package_is_looked_at() -> None:
    assert {param.values[0] for param in MODULES} == set(FOLDERS)


@pytest.mark.parametrize(("package", "path"), MODULES)
def test_a_module_is_short_enough_to_hold_in_mind(package: str, path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def modules_imported(package: str, path: Path, known: Container[str]) -> set[str]:
    """Return the modules of the package that this one loads, whenever it does."""
    inner = path.relative_to(FOLDERS[package] / "src").with_suffix("").parts
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # Types alone load nothing.
    tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*inner[: -node.level], *(node.module or "").split("."))
            name = ".".join(filter(None, base))
            found |= {f"{name}.{alias.name}" for alias in node.names} | {name}
    return {name for name in found if name in known}


@pytest.mark.parametrize("package", FOLDERS)
def test_no_module_needs_one_that_needs_it(package: str) -> None:
    source = FOLDERS[package] / "src"
    paths = {
        ".".join(path.relative_to(source).with_suffix("").parts): path
        for path in (source / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    needs = {name: modules_imported(package, path, paths) for name, path in paths.items()}
    # Raises CycleError, which names the modules of the circle.
    assert set(TopologicalSorter(needs).static_order()) == set(paths)


@pytest.mark.parametrize(("package", "path"), MODULES)
def test_imports_point_inwards(package: str, path: Path) -> None:
    roots = {root_of(name) for name in imports(path)}
    siblings = set(FOLDERS) - {"everylayer", package}
    foreign = WEB - OWN_WEB.get(package, set())
    assert not roots & siblings, "core knows no framework package, these know only core"
    assert not roots & foreign, "a framework is imported by its own package alone"


@pytest.mark.parametrize("name", PURE)
def test_the_pure_half_knows_no_telemetry(name: str) -> None:
    source = FOLDERS["everylayer"] / "src" / "everylayer"
    for path in [source / f"{name}.py", *(source / name).glob("*.py")]:
        if path.exists():
            assert {root_of(n) for n in imports(path)} <= sys.stdlib_module_names


@pytest.mark.parametrize("package", OWN_WEB)
def test_patches_of_a_framework_are_in_one_file(package: str) -> None:
    assert (FOLDERS[package] / "src" / package / "patches.py").is_file()


@pytest.mark.parametrize(("package", "path"), MODULES)
def test_what_a_module_needs_is_declared(package: str, path: Path) -> None:
    available = {canonicalize_name(package), *declared(package)}
    # What stands in a folder named after an extra is imported only where that is installed.
    extras = project(package).get("optional-dependencies", {})
    assert isinstance(extras, dict)
    for part in set(path.parts) & extras.keys():
        available |= {canonicalize_name(Requirement(line).name) for line in extras[part]}
    if package != "everylayer":
        available |= declared("everylayer").keys()
    available |= brought_by_an_extra(package, path)
    missing = {
        name
        for name in imports_when_loaded(path)
        if root_of(name) not in sys.stdlib_module_names and not brought_by(name) & available
    }
    assert not missing


def is_missing_library_guard(node: ast.stmt) -> bool:
    """Whether `node` imports, and turns a failure to do so into a remedy."""
    return (
        isinstance(node, ast.Try)
        and all(isinstance(step, (ast.Import, ast.ImportFrom)) for step in node.body)
        and all(isinstance(h.body[-1], ast.Raise) for h in node.handlers)
    )


def is_lazy_name(node: ast.stmt) -> bool:
    """Whether `node` offers a name that is imported when it is first asked for."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING" and all(
            isinstance(step, ast.ImportFrom) for step in node.body
        )
    return isinstance(node, ast.FunctionDef) and node.name == "__getattr__"


@pytest.mark.parametrize(
    ("package", "path"), [p for p in MODULES if str(p.values[1]).endswith("__init__.py")]
)
def test_an_init_holds_names_only(package: str, path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "it says what the package is"
    for node in tree.body[1:]:
        assigned = (
            [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
        )
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        is_import = is_import or is_missing_library_guard(node) or is_lazy_name(node)
        assert is_import or assigned in (["__all__"], ["__version__"], ["_LAZY"]), ast.unparse(node)


@pytest.mark.parametrize("package", FOLDERS)
def test_all_resolves(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_versions_are_in_step() -> None:
    versions = {package: project(package)["version"] for package in FOLDERS}
    assert len(set(versions.values())) == 1, versions
    for package in FOLDERS:
        module = importlib.import_module(package)
        assert getattr(module, "__version__", versions[package]) == versions[package]


@pytest.mark.parametrize("package", OWN_WEB)
def test_a_framework_package_asks_for_its_own_minor_of_core(package: str) -> None:
    version = Version(str(project("everylayer")["version"]))
    core = declared(package)["everylayer"].specifier
    assert core.contains(version)
    assert not core.contains(Version(f"{version.major}.{version.minor + 1}"))
    assert not core.contains(Version(f"{version.major}.{version.minor}.dev0"), prereleases=True)


@pytest.mark.parametrize("package", FOLDERS)
def test_licence_and_readme_travel_with_the_package(package: str) -> None:
    folder = FOLDERS[package]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert f"pip install {canonicalize_name(package)}\n" in (folder / "README.md").read_text()


def pins(name: str) -> dict[str, set[str]]:
    """Package -> pinned versions of a constraints file; a line that is no pin fails."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "tests" / "constraints" / name).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        assert requirement.url is None
        found.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return found


@pytest.mark.parametrize("name", ["latest.txt", "lowest.txt"])
def test_constraints_are_pins_without_a_registry(name: str) -> None:
    assert len(pins(name)) > 10


@pytest.mark.parametrize("package", FOLDERS)
def test_the_floor_declared_is_the_floor_that_is_run(package: str) -> None:
    lowest = pins("lowest.txt")
    for name, requirement in declared(package).items():
        floors = [s.version for s in requirement.specifier if s.operator == ">="]
        for floor in floors:
            release = Version(floor).release
            assert {Version(pin).release[: len(release)] for pin in lowest[name]} == {release}, name


def test_each_module_of_the_core_has_its_place_in_the_architecture() -> None:
    said = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\*?\w+\*?)(?:\.py|/)?`", said))
    source = FOLDERS["everylayer"] / "src" / "everylayer"
    rooms = {
        path.stem for folder in (source, source / "boundaries") for path in folder.glob("*.py")
    }
    rooms |= {path.name for path in source.iterdir() if (path / "__init__.py").exists()}
    families = [name.removesuffix("*") for name in named if name.endswith("*")]
    families += [name.removeprefix("*") for name in named if name.startswith("*")]
    unnamed = {
        room
        for room in rooms - named - {"__init__"}
        if not any(room.startswith(part) or room.endswith(part) for part in families)
    }
    assert not unnamed
