"""Every change made to Starlette and FastAPI, in one place.

| target | since | why | undone |
|---|---|---|---|
| `Starlette.add_middleware` | 0.37 | bad settings fail when given, not at a request | `remove()` |
| `build_middleware_stack` of Starlette and of each subclass that has its own (FastAPI) | 0.37 |
  Starlette itself builds the chain, with a probe before each layer | `remove()` |
| `Starlette.__init_subclass__` | 0.37 | the same for a subclass defined later | `remove()` |
| `Starlette.__call__` | 0.37 | the outermost seam, and `tenants.py` around it | `remove()` |
| `build_middleware_stack` of an app that stock instrumentation replaced on the instance | 0.37 |
  it may hold the original from before our patch | goes with the app |

They do nothing for an app that neither holds `EveryLayerMiddleware`, nor runs within one that does,
nor belongs to a process under `EveryLayerStarletteInstrumentor`. A method that is not what it was
is left alone, with a line in the log.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from weakref import WeakSet

from opentelemetry.context import get_current

from everylayer import here, monitor
from everylayer.asgi import SCOPE_KEY, Exchange, close
from everylayer.asgi_span import begin
from everylayer.boundaries.patch import Patch as Replaced
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.fit import takes, warn_left_alone
from everylayer.ledger import Ledger
from everylayer.settings import Settings, resolve
from everylayer.sinks.served import count

from . import tenants
from .classes import REPLACEMENTS, Starlette
from .interleave import interleaved, is_ours, starts_span_itself
from .naming import client_status
from .outermost import OUTERMOST
from .seams import Claim, see, show_failed_build, show_handlers
from .walk import probe_routes

KEY = "_everylayer_claim"
_PATCH = "_everylayer_original"
_UNCLAIMED = Claim(Settings(enabled=False))

_claimed: WeakSet[Any] = WeakSet()
_everything: Settings | None = None


def install() -> None:
    """Patch the classes; a second call changes nothing.

    Without the outermost seam none of the others can do its work: then `EveryLayerMiddleware` is a
    layer like any other.
    """
    fitting = [patch for patch in PATCHES if _fits(Starlette, patch)]
    if _OUTERMOST not in fitting:
        return
    for patch in fitting:
        _replace(Starlette, patch)
    if _BUILDING in fitting:
        _SUBCLASSING.put()
        for cls in _subclasses(Starlette):
            _patch_subclass(cls)


def remove() -> None:
    """Put back what `install` replaced; what others have wrapped since does nothing within it."""
    for cls in [Starlette, *_subclasses(Starlette)]:
        for patch in PATCHES:
            found = vars(cls).get(patch.name)
            if found in REPLACEMENTS:
                setattr(cls, patch.name, getattr(found, _PATCH))
    _SUBCLASSING.undo()


def claim_everything(settings: Settings) -> None:
    """Treat each Starlette and FastAPI app of the process as one that holds the middleware."""
    global _everything
    _everything = settings
    for app in list(_claimed):
        if app.__dict__.get(KEY) is _UNCLAIMED:
            del app.__dict__[KEY]


def claim_nothing() -> None:
    """Let go of all apps that do not hold the middleware; their chains are built anew."""
    global _everything
    _everything = None
    for app in list(_claimed):
        claim = app.__dict__.get(KEY)
        if claim is not None and not claim.explicit:
            _release(app, claim)


def _release(app: Any, claim: Claim) -> None:
    del app.__dict__[KEY]
    _claimed.discard(app)
    monitor.leave(claim.layers)
    while claim.undo:
        claim.undo.pop()()


def look(app: Any) -> Claim:
    """Return whether and how `app` is covered, and remember it."""
    known: Claim | None = app.__dict__.get(KEY)
    given = next((e.kwargs for e in app.user_middleware if is_ours(e.cls)), None)
    if given is not None:
        settings = resolve(given)
        if known is not None and known.explicit and known.settings == settings:
            return known
        claim = Claim(settings, explicit=True)
        # `app.add_middleware` may have been looked up before our patch of it was in place.
        _wrap_instance(app)
    elif known is not None and known is not _UNCLAIMED:
        return known
    elif _everything is not None:
        claim = Claim(_everything)
        _wrap_instance(app, claim)
    else:
        claim = _UNCLAIMED
    if not claim.settings.enabled:
        claim = _UNCLAIMED
    app.__dict__[KEY] = claim
    _claimed.add(app)
    return claim


def adopt(apps: Iterable[Any], settings: Settings, layers: Any) -> None:
    """Cover apps that run within requests of another one, such as mounted apps."""
    for app in apps:
        if not isinstance(app, Starlette):
            continue
        claim = look(app)
        if claim is _UNCLAIMED:
            app.__dict__[KEY] = Claim(settings, explicit=_everything is None, layers=layers)
        elif not claim.explicit and app.middleware_stack is None:
            # The ledger of its requests is the outer app's: so are the names that it goes by.
            claim.layers = layers


def _adopt_into(app: Any, ledger: Ledger) -> Claim:
    adopt([app], ledger.settings, ledger.layers)
    claim: Claim = app.__dict__[KEY]
    return claim


def _calling(original: Callable[..., Any]) -> Callable[..., Any]:
    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:
        claim = self.__dict__.get(KEY)
        if claim is None and tenants.missed(claim := look(self), scope):
            await Starlette.__call__(self, scope, receive, send)
            return
        outer = scope.get(SCOPE_KEY)
        if claim is _UNCLAIMED or (outer is not None and outer.running):
            if claim is _UNCLAIMED and outer is not None:
                claim = _adopt_into(self, outer)
            try:
                await original(self, scope, receive, send)
            except BaseException as exc:
                if claim is not _UNCLAIMED:
                    see(exc, scope, claim)
                drop_frame(exc)
                raise
            return
        ledger = Exchange(claim.settings, claim.layers, send, client_status, None)
        scope[SCOPE_KEY] = ledger
        scope["type"] == "lifespan" or count()
        own = None
        if claim.binds:
            ledger.around = get_current()
            own = begin(scope, ledger.send, ledger, lambda: not starts_span_itself(self))
        try:
            await original(self, scope, receive, ledger.send if own is None else own.send)
        except BaseException as exc:
            see(exc, scope, claim)
            drop_frame(exc)
            close(ledger, scope, exc, own)
            raise
        if ledger.page is None and own is None:
            ledger.close()
        else:
            close(ledger, scope, None, own)

    OUTERMOST.add(__call__.__code__)
    here.told_by(__call__, here.of_ledger)
    return functools.wraps(original)(__call__)


def _building(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def build_middleware_stack(self: Any) -> Any:
        claim = look(self)
        entries = self.user_middleware
        shaped = None
        if claim is not _UNCLAIMED and not claim.building:
            shaped = interleaved(self, claim)
        ours = shaped is not None
        if ours:
            self.user_middleware = shaped
            claim.building = True
        try:
            built = original(self)
        except BaseException as exc:
            if ours:
                show_failed_build(exc, claim)
            drop_frame(exc)
            raise
        finally:
            if ours:
                claim.building = False
                self.user_middleware = entries
        if ours:
            _look_inside(self, built, claim)
        return built

    return build_middleware_stack


@contained
def _look_inside(app: Any, built: Any, claim: Claim) -> None:
    show_handlers(built, claim)
    claim.undo.append(lambda: setattr(app, "middleware_stack", None))
    adopt(probe_routes(app.router, claim), claim.settings, claim.layers)


def _adding(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def add_middleware(self: Any, middleware_class: Any, *args: Any, **kwargs: Any) -> None:
        if is_ours(middleware_class):
            if args:
                raise TypeError(
                    f"{middleware_class.__name__} takes settings by name, not {args!r:.100}; "
                    "see everylayer.Settings"
                )
            resolve(kwargs)
            _wrap_instance(self)
        original(self, middleware_class, *args, **kwargs)

    return add_middleware


def _wrap_instance(app: Any, claim: Claim | None = None) -> None:
    own = app.__dict__.get("build_middleware_stack")
    if own is not None and not hasattr(own, _PATCH):
        wrapped = _building(lambda _app: own())
        build = functools.partial(wrapped, app)
        setattr(build, _PATCH, own)
        app.build_middleware_stack = build
        if claim is not None:
            claim.undo.append(lambda: setattr(app, "build_middleware_stack", own))


class Patch(NamedTuple):
    """One replacement of a method of `Starlette`.

    Attributes:
        name: of the method.
        parameters: what it must take for the replacement to fit.
        make: builds the replacement from the original.
        why: what only shows there.
    """

    name: str
    parameters: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]
    why: str


_OUTERMOST = Patch(
    "__call__",
    "self scope receive send",
    _calling,
    "errors of layers outside EveryLayerMiddleware, so add it last",
)
_BUILDING = Patch(
    "build_middleware_stack",
    "self",
    _building,
    "errors that layers outside EveryLayerMiddleware hide from each other, so add it last",
)
PATCHES = (
    _OUTERMOST,
    Patch(
        "add_middleware",
        "self middleware_class args kwargs",
        _adding,
        "what stock replaced on an app before; bad settings fail at the first request",
    ),
    _BUILDING,
)


def _fits(cls: type[Any], patch: Patch) -> bool:
    found = vars(cls).get(patch.name)
    fits = hasattr(found, _PATCH) or takes(found, patch.parameters)
    if not fits:
        _say_once(f"{cls.__module__}.{cls.__qualname__}.{patch.name}", patch)
    return fits


@functools.cache
def _say_once(target: str, patch: Patch) -> None:
    warn_left_alone(target, target.partition(".")[0], patch.why, "everylayer-starlette")


def _subclassing(_: Any, switch: Any) -> Any:
    found = vars(Starlette).get("__init_subclass__")

    def __init_subclass__(cls: type[Any], /, **kwargs: Any) -> None:
        if found is None:
            super(Starlette, cls).__init_subclass__(**kwargs)
        else:
            found.__get__(None, cls)(**kwargs)
        if switch.on:
            _patch_subclass(cls)

    return classmethod(__init_subclass__)


_SUBCLASSING = Replaced(Starlette, "__init_subclass__", _subclassing)


def _patch_subclass(cls: type[Any]) -> None:
    own = vars(cls).get(_BUILDING.name)
    if own is not None and _fits(cls, _BUILDING):
        _replace(cls, _BUILDING)


def _replace(cls: type[Any], patch: Patch) -> None:
    original = vars(cls)[patch.name]
    if not hasattr(original, _PATCH):
        wrapped = patch.make(original)
        setattr(wrapped, _PATCH, original)
        REPLACEMENTS.add(wrapped)
        setattr(cls, patch.name, wrapped)


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    return [found for sub in cls.__subclasses__() for found in (sub, *_subclasses(sub))]
