"""The one line that users add, and the layer that it puts around all others."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.context import get_current

from everylayer.asgi import close
from everylayer.asgi_span import OwnSpan, begin
from everylayer.boundaries import answer, tenant, tenant_seams, tenant_source
from everylayer.chain import drop_frame
from everylayer.failsafe import contained
from everylayer.layers import Layer, LayerMap, codes_of, name_of
from everylayer.memo import Memo
from everylayer.settings import Settings, resolve
from everylayer.sinks.served import count

from . import patches
from .chain import Chain, probed
from .seams import KEY, Exchange, scope_of, see

_MAX_CHAINS = 1024  # As many as aiohttp keeps.
# On every application that is still there.
EQUIPPED: WeakSet[Outermost] = WeakSet()


def setup(app: web.Application, **settings: Any) -> None:
    """Put every error of every layer of `app` on its request's span, sub-apps included.

    Call it at any moment before the app runs; of a sub-app, before it is added to another one.

    Args:
        app: the application.
        **settings: fields of `everylayer.Settings`, over `configure()` and `EVERYLAYER_*`.

    Raises:
        SettingsError: for an unknown setting or a value that does not fit.
    """
    equip(app, resolve(settings), explicit=True)


def equip(app: web.Application, rules: Settings, *, explicit: bool = False) -> None:
    """Put the outermost layer on `app`; what its own line says goes before what all apps get."""
    layer = next((made for made in app.middlewares if isinstance(made, Outermost)), None)
    if layer is None:
        layer = Outermost(rules)
        app.middlewares.insert(0, layer)
        app.on_startup.append(layer.goes_first)
        EQUIPPED.add(layer)
        patches.install()
    if explicit:
        layer.explicit, layer.rules = True, rules
        layer.tenants = tenant_source.policy_of(rules)


class Outermost:
    """One ledger a request, from its first layer to the response that leaves the last one."""

    __middleware_version__ = 1
    explicit = False

    def __init__(self, rules: Settings) -> None:
        self.rules = rules
        self.layers = LayerMap()
        self.chains: Memo[Chain] = Memo(_MAX_CHAINS)
        self.tenants = tenant_source.policy_of(rules)

    async def goes_first(self, app: web.Application) -> None:
        """Move to the front, now that the chain is complete, and know the hooks by name."""
        if not app.middlewares.frozen:
            app.middlewares.remove(self)
            app.middlewares.insert(0, self)
        for hook in app.on_response_prepare:
            self.layers.add(Layer(name_of(hook), "hook"), codes_of(hook))

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.rules.enabled:
            return await handler(request)
        count()
        request[KEY] = ledger = Exchange(self.rules, self.layers)
        ledger.around = get_current()
        known = self.chains.entries.young.get(id(handler))
        made = known[1] if known is not None and known[0]() is handler else None
        chain = made or self._chain(handler, request) or Chain(handler, False)
        if self.tenants is not None:
            token = tenant_seams.enter(self.tenants, scope_of(request))
        own = begin(scope_of(request), None, ledger, _nobody_else) if chain.alone else None
        try:
            response = await chain.call(request)
        except BaseException as exc:
            see(exc, request)
            _failed(exc, request, ledger, own)
            drop_frame(exc)
            raise
        finally:
            if self.tenants is not None:
                tenant.leave(token)
        ledger.status = status = getattr(response, "status", 500)
        if ledger.page is None and own is None:
            ledger.close()
        else:
            _answered(response, status, request, ledger, own)
        return response

    @contained
    def _chain(self, handler: Handler, request: web.Request) -> Chain | None:
        made = probed(handler, self.rules, self)
        # What answers a path that is not there is made anew for each request.
        if made is not None and request.match_info.http_exception is None:
            self.chains.keep(handler, made)
        return made


def _nobody_else() -> bool:
    return True


@contained
def _answered(
    response: Any, status: int, request: web.Request, ledger: Exchange, own: OwnSpan | None
) -> None:
    """Settle a request whose response is known, though it may not have left yet."""
    if answer.due(ledger, status) and not response.prepared:
        name = ledger.settings.error_context_header
        value = answer.value_for(ledger, status, response.headers.get(name, ""))
        if value is not None:
            response.headers[name] = value
    if own is not None:
        own.answered(status)
    ledger.responded(status)
    close(ledger, scope_of(request), None, own)


@contained
def _failed(
    exc: BaseException, request: web.Request, ledger: Exchange, own: OwnSpan | None
) -> None:
    """Settle a request of which the server makes a response, if none has begun."""
    begun = request.writer.output_size > 0
    if issubclass(type(exc), web.HTTPException) and not begun:
        _answered(exc, getattr(exc, "status", 500), request, ledger, own)
        return
    if issubclass(type(exc), Exception) and not begun:
        if own is not None:
            own.answered(500)
        if answer.due(ledger, 500):
            ledger.told = answer.value_for(ledger, 500) or ""
    close(ledger, scope_of(request), exc, own)
