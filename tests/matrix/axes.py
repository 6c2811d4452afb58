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
# The axes of each framework, besides Python and OpenTelemetry.
OWN: Mapping[str, Sequence[str]] = {
    "django": ("django",),
    "flask": ("flask",),
    # The cases about FastAPI are in the same table as Starlette's.
    "starlette": ("starlette", "fastapi"),
    "aiohttp": ("aiohttp",),
    "litestar": ("litestar",),
    "grpc": ("grpcio",),
    # Beside the frameworks that its table is about.
    "sentry": ("sentry-sdk",),
}
FRAMEWORKS = tuple(OWN)
# Our packages besides the core.
PACKAGES = {name: (name,) for name in FRAMEWORKS} | {"sentry": ("django", "flask", "starlette")}
ALL = tuple(dict.fromkeys(name for names in PACKAGES.values() for name in names))
# What stands beside everylayer.
STOCK = {
    "django": ("django",),
    "flask": ("flask",),
    "starlette": ("starlette", "fastapi", "asgi"),
    "aiohttp": ("aiohttp-server",),
    # Its own, which needs that.
    "litestar": ("asgi",),
    "grpc": ("grpc",),
    "sentry": ("django", "flask", "starlette", "fastapi"),
}
BESIDES = {
    # Litestar before 2.19 imports it without asking for it, and anyio no longer brings it.
    "litestar": ("sniffio",),
    # A newer one asks for a new OpenTelemetry.
    "sentry": ("fastapi==0.141.1",),
}
# A series stands for its newest release, a whole version for itself.
AXES: Mapping[str, Sequence[str]] = {
    "opentelemetry": ("1.39.0", "1.41.1", "1.43.0", NEWEST),
    "django": ("4.2", "5.2", "6"),
    "flask": ("2.3", "3.0", "3.1"),
    "starlette": ("0.37.2", "0.41.3", "0.46.2", "0.52.1", "1.0.1", NEWEST),
    "fastapi": ("0.110.1", "0.115.14", "0.128.8", "0.141.1", NEWEST),
    "aiohttp": ("3.11.0", "3.12.15", "3.13.5", NEWEST),
    "litestar": ("2.15.0", "2.18.0", "2.21.1", NEWEST),
    "grpcio": ("1.60.0", "1.68.1", "1.76.0", NEWEST),
    "sentry-sdk": ("2.14.0", "2.27.0", "2.45.0", NEWEST),
}
EXTRAS = {"flask": "flask[async]"}
# The Pythons 3 that these run on, or have wheels for.
PYTHONS = {
    ("aiohttp", "3.11.0"): range(14),
    ("aiohttp", "3.12.15"): range(14),
    ("django", "6"): range(12, 100),
    ("grpcio", "1.60.0"): range(13),
    ("grpcio", "1.68.1"): range(14),
}
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
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One environment.

    Attributes:
        name: what it is about.
        python: version of the interpreter.
        requirements: besides our packages.
        framework: whose table it is probed with.
        packages: ours besides the core.
        unchecked: what the table imports besides, put in against its own requirements.
    """

    name: str
    python: str
    requirements: tuple[str, ...]
    framework: str
    packages: tuple[str, ...]
    unchecked: tuple[str, ...] = ()


def fits(chosen: Mapping[str, str]) -> bool:
    """Tell whether these values go together."""
    if "python" in chosen:
        minor = int(chosen["python"].partition(".")[2])
        for axis, version in chosen.items():
            if minor not in PYTHONS.get((axis, version), range(100)):
                return False
    starlette, fastapi = chosen.get("starlette"), chosen.get("fastapi")
    if fastapi is None:
        return True
    if starlette is not None and starlette not in PINNED[fastapi]:
        return False
    return fastapi != NEWEST or chosen.get("opentelemetry", NEWEST) == NEWEST


def rows(framework: str, pythons: Sequence[str]) -> list[Row]:
    """Return every row of a framework for these interpreters, oldest first."""
    axes = {axis: AXES[axis] for axis in ("opentelemetry", *OWN[framework])}
    pairs = pairwise.rows({"python": pythons, **axes}, fits)
    pairs.sort(key=lambda row: pythons.index(row["python"]))
    return [
        lowest(framework, pythons[0]),
        *(_pair(framework, chosen) for chosen in pairs),
        Row("together", pythons[-1], tuple(_newest()), framework, ALL),
    ]


def lowest(framework: str, python: str) -> Row:
    """Return the row with the oldest versions that the framework's package and the core declare."""
    core = _minima("core")
    contrib = core["opentelemetry-instrumentation"]
    stock = [f"opentelemetry-instrumentation-{part}=={contrib}" for part in STOCK[framework]]
    unchecked: tuple[str, ...] = ()
    if framework == "starlette":
        # The oldest Starlette is older than any that a FastAPI allows; the tables import one.
        unchecked = ("fastapi==0.110.1",)
        stock += ["pydantic"]
    stock += BESIDES.get(framework, ())
    own = _minima("core", "sentry") if framework == "sentry" else _minima(f"{framework}_ext")
    least = {**core, **own}
    pins = [f"{package}=={version}" for package, version in least.items()]
    sdk = f"opentelemetry-sdk=={core['opentelemetry-api']}"
    return Row("lowest", python, (*pins, sdk, *stock), framework, PACKAGES[framework], unchecked)


def _minima(package: str, extra: str = "") -> dict[str, str]:
    text = (ROOT / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
    about = tomllib.loads(text)["project"]
    declared = about["optional-dependencies"][extra] if extra else about["dependencies"]
    return dict(line.split(">=") for line in declared if ">=" in line)


def _pair(framework: str, chosen: Mapping[str, str]) -> Row:
    otel = chosen["opentelemetry"]
    asked = [_at(axis, chosen[axis]) for axis in OWN[framework]]
    asked.append(_at("opentelemetry-sdk", otel))
    asked += [_at(name, CONTRIB.get(otel, NEWEST)) for name in _instrumentations(framework)]
    asked += BESIDES.get(framework, ())
    return Row("pairs", chosen["python"], tuple(asked), framework, PACKAGES[framework])


def _newest() -> Iterator[str]:
    for axes in OWN.values():
        yield from (_at(axis, NEWEST) for axis in axes)
    yield "opentelemetry-sdk"
    yield from dict.fromkeys(name for one in FRAMEWORKS for name in _instrumentations(one))


def _instrumentations(framework: str) -> list[str]:
    return [f"opentelemetry-instrumentation-{name}" for name in STOCK[framework]]


def _at(name: str, version: str) -> str:
    name = EXTRAS.get(name, name)
    if version == NEWEST:
        return name
    whole = version.count(".") == 2 or "b" in version
    return f"{name}=={version}" if whole else f"{name}~={version}.0"
