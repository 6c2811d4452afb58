"""Which versions meet: the axes, what does not go together, and the rows beside the pairs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import pairwise

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NEWEST = "newest"
FRAMEWORKS = ("django", "flask", "starlette", "aiohttp", "litestar")

# A series stands for its newest release, a whole version for itself.
AXES: Mapping[str, Sequence[str]] = {
    "starlette": ("0.37.2", "0.41.3", "0.46.2", "0.52.1", "1.0.1", NEWEST),
    "fastapi": ("0.110.1", "0.115.14", "0.128.8", "0.141.1", NEWEST),
    "opentelemetry": ("1.39.0", "1.41.1", "1.43.0", NEWEST),
    "django": ("4.2", "5.2", "6"),
    "flask": ("2.3", "3.0", "3.1"),
    "aiohttp": ("3.11.0", "3.12.15", "3.13.5", NEWEST),
    "litestar": ("2.15.0", "2.18.0", "2.21.1", NEWEST),
}
# The first Python that these have no wheels for.
BEFORE = {"3.11.0": 14, "3.12.15": 14}
# The instrumentations of an OpenTelemetry release have numbers of their own.
CONTRIB = {"1.39.0": "0.60b0", "1.41.1": "0.62b1", "1.43.0": "0.64b0"}
# The Starlette versions that each FastAPI asks for; the newest asks for a new OpenTelemetry too.
PINNED = {
    "0.110.1": ("0.37.2",),
    "0.115.14": ("0.41.3", "0.46.2"),
    "0.128.8": ("0.41.3", "0.46.2", "0.52.1"),
    "0.141.1": ("0.46.2", "0.52.1", "1.0.1", NEWEST),
    NEWEST: (NEWEST,),
}
STOCK = {
    "django": ("django",),
    "flask": ("flask",),
    # The cases about FastAPI are in the same table as Starlette's.
    "starlette": ("starlette", "fastapi", "asgi"),
    "aiohttp": ("aiohttp-server",),
    # Its own, which needs that.
    "litestar": ("asgi",),
}
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One environment.

    Attributes:
        name: what it is about.
        python: version of the interpreter.
        requirements: besides our packages.
        frameworks: whose tables it is probed with.
        unchecked: what the tables import besides, put in against its own requirements.
    """

    name: str
    python: str
    requirements: tuple[str, ...]
    frameworks: tuple[str, ...] = FRAMEWORKS
    unchecked: tuple[str, ...] = ()


def fits(chosen: Mapping[str, str]) -> bool:
    """Tell whether these values go together."""
    python, django = chosen.get("python"), chosen.get("django")
    if python is not None and django is not None and not _runs_on(django, python):
        return False
    aiohttp = chosen.get("aiohttp")
    if python is not None and aiohttp in BEFORE and _minor(python) >= BEFORE[aiohttp]:
        return False
    starlette, fastapi = chosen.get("starlette"), chosen.get("fastapi")
    if fastapi is None:
        return True
    if starlette is not None and starlette not in PINNED[fastapi]:
        return False
    return fastapi != NEWEST or chosen.get("opentelemetry", NEWEST) == NEWEST


def _runs_on(django: str, python: str) -> bool:
    return django != "6" or _minor(python) >= 12


def _minor(python: str) -> int:
    return int(python.partition(".")[2])


def rows(pythons: Sequence[str]) -> list[Row]:
    """Return every row for these interpreters, oldest first."""
    pairs = pairwise.rows({"python": pythons, **AXES}, fits)
    pairs.sort(key=lambda row: pythons.index(row["python"]))
    highest = Row("highest", pythons[-1], tuple(_highest()))
    return [*lowest(pythons[0]), *(_pair(row) for row in pairs), highest]


def lowest(python: str) -> Iterator[Row]:
    """Yield each framework package alone, with the oldest that it and the core declare."""
    core = _minima("core")
    contrib = core["opentelemetry-instrumentation"]
    for name in FRAMEWORKS:
        least = {**core, **_minima(f"{name}_ext")}
        stock = [f"opentelemetry-instrumentation-{part}=={contrib}" for part in STOCK[name]]
        unchecked: tuple[str, ...] = ()
        if name == "starlette":
            # The oldest Starlette is older than any that a FastAPI allows; the tables import one.
            unchecked = ("fastapi==0.110.1",)
            stock += ["pydantic"]
        pins = [f"{package}=={version}" for package, version in least.items()]
        sdk = f"opentelemetry-sdk=={core['opentelemetry-api']}"
        yield Row(f"lowest {name}", python, (*pins, sdk, *stock), (name,), unchecked)


def _minima(package: str) -> dict[str, str]:
    text = (ROOT / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
    declared = tomllib.loads(text)["project"]["dependencies"]
    return dict(line.split(">=") for line in declared if ">=" in line)


def _pair(chosen: Mapping[str, str]) -> Row:
    otel = chosen["opentelemetry"]
    asked = [
        f"django~={chosen['django']}.0",
        f"flask[async]~={chosen['flask']}.0",
        _at("starlette", chosen["starlette"]),
        _at("fastapi", chosen["fastapi"]),
        _at("aiohttp", chosen["aiohttp"]),
        _at("litestar", chosen["litestar"]),
        _at("opentelemetry-sdk", otel),
        *(_at(name, CONTRIB.get(otel, NEWEST)) for name in _instrumentations()),
    ]
    return Row("pairs", chosen["python"], tuple(asked))


def _highest() -> Iterator[str]:
    yield from ("django", "flask[async]", "starlette", "fastapi", "aiohttp", "litestar")
    yield "opentelemetry-sdk"
    yield from _instrumentations()


def _instrumentations() -> list[str]:
    names = dict.fromkeys(name for parts in STOCK.values() for name in parts)
    return [f"opentelemetry-instrumentation-{name}" for name in names]


def _at(name: str, version: str) -> str:
    return name if version == NEWEST else f"{name}=={version}"
