"""The app that TARGET names: imported, found or made, and claimed by an adapter."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .adapter import Adapter
from .failing import run
from .spelling import Target, parse
from .wire import TargetError

T = TypeVar("T")

# What a module's app is called, as flask and uvicorn look for it.
_APPS = ("app", "application", "asgi_app", "wsgi_app")
_FACTORIES = ("create_app", "make_app", "create_application", "get_application")
# Frameworks that everylayer has a package for.
_PACKAGES = frozenset({"aiohttp", "django", "flask", "grpc", "litestar", "starlette"})
# What each settings module of a Django project that answers requests has.
_OF_SETTINGS = "ROOT_URLCONF"


def load(text: str, factory: bool, adapters: Sequence[Adapter]) -> tuple[Adapter, Any]:
    """Import what `text` names; return its app and the first of `adapters` that claims it.

    Raises:
        TargetError: there is no app.
    """
    target = parse(text, factory)
    if str(target.folder) not in sys.path:
        sys.path.insert(0, str(target.folder))
    if target.django:
        return _django(target.module, adapters)
    module = _import(target.module)
    if not target.attribute and hasattr(module, _OF_SETTINGS):
        return _django(target.module, adapters)
    app = _find(module, target)
    if app is None and (target.call is not None or not target.attribute):
        app = _made_meanwhile(adapters)
        if app is None:
            name = target.attribute or "the function"
            raise TargetError(f"{target.module}:{name}() returned None, not an app")
    for adapter in adapters:
        if adapter.claims(app):
            return adapter, app
    if target.call is None and _is_factory(app):
        name = target.attribute
        raise TargetError(
            f"{text!r} is a function that is no app: if it makes one, type "
            f"{target.module}:{name}() or add --factory"
        )
    absent = _not_installed(app, adapters)
    if absent:
        raise TargetError(
            f"{text!r} is {_kind(app)}, and everylayer's part for {absent} is not installed: "
            f"pip install everylayer-{absent}"
        )
    raise TargetError(
        f"{text!r} is no WSGI, ASGI or aiohttp app and no gRPC server, but {_kind(app)}"
    )


def _django(settings: str, adapters: Sequence[Adapter]) -> tuple[Adapter, Any]:
    for adapter in adapters:
        make = getattr(adapter, "from_settings", None)
        if make is not None:
            step = functools.partial(make, settings)
            return adapter, _naming(settings, step, f"the Django project {settings}")
    raise TargetError(
        f"{settings} is a Django settings module, and everylayer's part for Django is not "
        f"installed: pip install everylayer-django"
    )


def _import(name: str) -> Any:
    return _naming(name, functools.partial(importlib.import_module, name), f"importing {name}")


def _naming(module: str, step: Callable[[], T], what: str) -> T:
    """Run `step`; a `module` that is not there is another failure than one that it needs."""
    try:
        return run(step, what)
    except TargetError as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if not missing or not f"{module}.".startswith(f"{missing}."):
            raise
        raise TargetError(
            f"there is no module {missing}, neither in {Path.cwd()} nor installed for "
            f"{sys.executable}{_close_modules(missing)}",
            error.details,
        ) from cause


def _find(module: Any, target: Target) -> Any:
    if not target.attribute:
        return _look_for(module, target)
    found = module
    for name in target.attribute.split("."):
        if not hasattr(found, name):
            close = difflib.get_close_matches(name, _public(found), n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise TargetError(f"{target.module} has no attribute {name!r}{hint}")
        found = getattr(found, name)
    if target.call is None:
        return found
    return _call(found, target.call, f"{target.module}:{target.attribute}()")


def _look_for(module: Any, target: Target) -> Any:
    names = _FACTORIES if target.call is not None else _APPS
    for name in names:
        if callable(getattr(module, name, None)):
            app = getattr(module, name)
            if target.call is None:
                return app
            return _call(app, target.call, f"{target.module}:{name}()")
    if target.call is None:
        for name in _FACTORIES:
            if callable(getattr(module, name, None)):
                return _call(getattr(module, name), ((), {}), f"{target.module}:{name}()")
    listed = ", ".join([*_APPS, *_FACTORIES])
    raise TargetError(f"{target.module} has none of {listed}: type {target.module}:NAME")


def _call(function: Any, given: tuple[tuple[Any, ...], dict[str, Any]], what: str) -> Any:
    args, words = given
    if not callable(function):
        raise TargetError(f"{what} cannot be called: it is {_kind(function)}")
    try:
        inspect.signature(function).bind(*args, **words)
    except TypeError as error:
        raise TargetError(f"{what} was given the wrong arguments: {error}") from error
    except ValueError:
        pass  # Some built-in callables do not tell.
    made = run(lambda: function(*args, **words), what)
    if inspect.iscoroutine(made):
        made = run(functools.partial(_awaited, made), what)
    return made


def _made_meanwhile(adapters: Sequence[Adapter]) -> Any:
    """Return the app of a function that serves it, and returns when that is over."""
    for adapter in adapters:
        last = getattr(adapter, "made", None)
        if last is not None and last() is not None:
            return last()
    return None


def _awaited(made: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(made)


def _public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def _close_modules(name: str) -> str:
    parent, _, last = name.rpartition(".")
    if parent:
        paths = list(getattr(sys.modules.get(parent), "__path__", ()))
    else:
        paths = [str(Path.cwd()), *sys.path[:1]]
    names = [module.name for module in pkgutil.iter_modules(paths)]
    close = difflib.get_close_matches(last, names, n=2)
    dotted = [f"{parent}.{each}" if parent else each for each in close]
    return f"; did you mean {' or '.join(dotted)}?" if dotted else ""


def _is_factory(app: Any) -> bool:
    return inspect.isfunction(app) or inspect.ismethod(app)


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return f"the class {value.__qualname__}"
    if inspect.ismodule(value):
        return f"the module {value.__name__}"
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _not_installed(app: Any, adapters: Sequence[Adapter]) -> str:
    """Return the framework of an app that one of our packages would know, if it were there."""
    absent = _PACKAGES - {adapter.framework for adapter in adapters}
    tops = (cls.__module__.partition(".")[0] for cls in type(app).__mro__)
    return next((top for top in tops if top in absent), "")
