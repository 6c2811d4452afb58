"""Neutral seams for a framework whose layers are awaited: each takes a request, returns a response.

What the framework calls things, its package tells in a subclass of `Exchange`; `Outermost` stands
around the whole chain, `probe` before each layer in it, and `binding` inside what starts a span.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any, NamedTuple

from opentelemetry.context import get_current

from . import here, monitor
from .asgi_span import OwnSpan, begin, server_span
from .asgi_types import Scope
from .boundaries import aftermath, answer, arrival, tenant, tenant_seams, tenant_source
from .chain import drop_frame
from .failsafe import contained
from .layers import Layer, LayerMap
from .ledger import Ledger
from .memo import Memo
from .observer import observe
from .policy import matches
from .settings import Settings
from .sighting import SWALLOWED
from .sinks.served import count

Call = Callable[[Any], Awaitable[Any]]
_MAX_CHAINS = 1024
# By name: asyncio is much to load for one class, which is the built-in one from 3.11 on.
_TIMEOUT = frozenset(
    {"TimeoutError" if sys.version_info >= (3, 11) else "asyncio.exceptions.TimeoutError"}
)


class Exchange(Ledger):
    """The ledger of a request, and the words of its framework: a package overrides every method.

    Of a request that works they are asked for `keep` and `status_of`, and by `binding` for `of`:
    those three must neither raise nor be slow. What the others raise is contained.

    Attributes:
        told: the error context, for the response that the framework makes of an error outside of
            all layers; empty for none.
        timeout_status: what the framework answers asyncio's `TimeoutError` with.
    """

    told = ""
    timeout_status = 500

    @staticmethod
    def of(request: Any) -> Exchange | None:
        """Return what `keep` gave to `request`, or to the one that it is a copy of."""
        raise NotImplementedError

    @staticmethod
    def keep(request: Any, exchange: Exchange) -> None:
        """Let `request` hold its ledger."""
        raise NotImplementedError

    @staticmethod
    def scope_of(request: Any) -> Scope:
        """Return the request as an ASGI server would have told of it: see `asgi_span.begin`."""
        raise NotImplementedError

    @staticmethod
    def client_status(exc: BaseException) -> int | None:
        """Return the status below 500 that the framework gives `exc`, None for a failure."""
        raise NotImplementedError

    @staticmethod
    def is_of_client(exc: BaseException, request: Any) -> bool:
        """Tell whether `exc` only says that the client of `request` went away."""
        raise NotImplementedError

    @staticmethod
    def has_begun(request: Any) -> bool:
        """Tell whether a response is on its way, so that an error can no longer be answered."""
        raise NotImplementedError

    @staticmethod
    def status_of(response: Any) -> int | None:
        """Return the status of a response, or of an exception that is one; None for anything else.

        It is given whatever a layer returns, and any exception that leaves the chain.
        """
        raise NotImplementedError

    @staticmethod
    def headers_of(response: Any) -> MutableMapping[str, str] | None:
        """Return the headers of a response, None where they have been sent."""
        raise NotImplementedError


class Chain(NamedTuple):
    """What is inside the outermost seam.

    Attributes:
        call: its outermost layer.
        alone: nothing in it starts a server span.
        lasting: it may be kept for the next request that brings the same chain.
    """

    call: Call
    alone: bool
    lasting: bool = True


class Outermost:
    """The outermost seam, a layer like any other: one ledger a request.

    Args:
        exchange: the framework's words.
        rules: the settings in force.
        prepare: puts the probes into a chain, which it is given with a request; called once a
            chain, and without effect where it fails.
    """

    explicit = False

    def __init__(
        self,
        exchange: type[Exchange],
        rules: Settings,
        prepare: Callable[[Any, Any, Outermost], Chain],
    ) -> None:
        self.exchange = exchange
        self.layers = LayerMap()
        self._prepare = contained(prepare)
        self._chains: Memo[Chain] = Memo(_MAX_CHAINS)
        self.obey(rules)

    def obey(self, rules: Settings) -> None:
        """Take other settings; with `enabled=False` requests only pass.

        Raises:
            SettingsError: for a tenant setting that cannot be used.
        """
        self.tenants = tenant_source.policy_of(rules)
        self.rules = rules
        if not monitor.wanted(rules):
            monitor.leave(self)

    async def __call__(self, request: Any, handler: Call) -> Any:
        if not self.rules.enabled:
            return await handler(request)
        count()
        ledger = self.exchange(self.rules, self.layers)
        ledger.around = get_current()
        ledger.keep(request, ledger)
        known = self._chains.entries.young.get(id(handler))
        if known is not None and known[0]() is handler:
            call, alone, _ = known[1]
        else:
            call, alone = self._chain(handler, request)
        token = own = None
        if self.tenants is not None and (scope := _asked(ledger.scope_of, request)):
            token = tenant_seams.enter(self.tenants, scope)
        if alone and (scope := _asked(ledger.scope_of, request)):
            own = begin(scope, None, ledger, _nobody_else)
        try:
            response = await call(request)
        except BaseException as exc:
            see(exc, request, ledger)
            _failed(exc, request, ledger, own)
            drop_frame(exc)
            raise
        finally:
            if token is not None:
                tenant.leave(token)
        if ledger.page is None and own is None:
            ledger.status = ledger.status_of(response)
            ledger.close()
        else:
            _answered(response, request, ledger, own)
        return response

    def _chain(self, handler: Call, request: Any) -> tuple[Call, bool]:
        made = self._prepare(handler, request, self)
        if made is None:
            return handler, False
        if made.lasting:
            self._chains.keep(handler, made)
        return made.call, made.alone

    def probe(self, inner: Call, layer: Layer, phase: str = "call") -> Call:
        """Return `inner` with a seam around it, which names what crosses it first."""
        of = self.exchange.of

        async def probed(request: Any) -> Any:
            try:
                return await inner(request)
            except BaseException as exc:
                see(exc, request, of(request), layer, phase)
                drop_frame(exc)
                raise

        return functools.update_wrapper(probed, inner)

    def binding(self, inner: Call) -> Call:
        """Return `inner` with a layer around it that tells the ledger in which span it stands."""
        of = self.exchange.of

        async def bound(request: Any) -> Any:
            ledger = of(request)
            if ledger is not None and ledger.within is None:
                ledger.within = get_current()
            try:
                return await inner(request)
            except BaseException as exc:
                drop_frame(exc)
                raise

        return functools.update_wrapper(bound, inner)

    def watch(self, made: Any, layer: Layer) -> None:
        """Have what `made` handles by itself shown, where the settings ask for the monitor."""
        if monitor.wanted(self.rules):
            monitor.watch(self, layer, monitor.codes_of_layer(made), _swallowed)


here.told_by(Outermost.__call__, here.of_ledger)


def _nobody_else() -> bool:
    return True


@contained
def _asked(word: Callable[..., Any], *about: Any) -> Any:
    """Return what a package says of `about`, None where it cannot."""
    return word(*about)


@contained
def see(
    exc: BaseException,
    request: Any,
    ledger: Exchange | None,
    layer: Layer | None = None,
    phase: str = "call",
) -> None:
    """Show `exc` to the ledger of its request; None is one that no outermost seam has met."""
    if ledger is None or ledger.again(exc):
        return
    observe(exc, layer, phase, ledger=ledger, client_status=_asked(ledger.client_status, exc))
    sighting = ledger.sighting_of(exc)
    if sighting is not None and _asked(ledger.is_of_client, exc, request):
        sighting.departed = True
    if ledger.page is not None and ledger.page.came is None:
        arrival.note(ledger, _asked(ledger.scope_of, request))


def _swallowed(exc: BaseException, layer: Layer, frame: FrameType | None) -> None:
    """Show it to the request of the nearest outermost seam that waits for `frame`."""
    while frame is not None:
        if frame.f_code is Outermost.__call__.__code__:
            see(exc, frame.f_locals["request"], frame.f_locals["ledger"], layer, SWALLOWED)
            return
        frame = frame.f_back


@contained
def _answered(response: Any, request: Any, ledger: Exchange, own: OwnSpan | None) -> None:
    """Settle a request whose response is known, though it may not have left yet."""
    status = ledger.status_of(response)
    status = 500 if status is None else status
    if answer.due(ledger, status):
        _tell(response, status, ledger)
    if own is not None:
        own.answered(status)
    ledger.responded(status)
    _close(request, ledger, None, own)


@contained
def _tell(response: Any, status: int, ledger: Exchange) -> None:
    """Put the error context on a response that has not been sent."""
    headers, name = ledger.headers_of(response), ledger.settings.error_context_header
    if headers is not None:
        told = answer.value_for(ledger, status, headers.get(name, ""))
        if told is not None:
            headers[name] = told


@contained
def _failed(exc: BaseException, request: Any, ledger: Exchange, own: OwnSpan | None) -> None:
    """Settle a request of which the framework makes a response, if none has begun."""
    if not _asked(ledger.has_begun, request):
        if ledger.status_of(exc) is not None:
            _answered(exc, request, ledger, own)
            return
        sighting = ledger.sighting_of(exc)
        if issubclass(type(exc), Exception) and not (sighting is not None and sighting.departed):
            if own is not None:
                own.answered(ledger.timeout_status if matches(exc, _TIMEOUT) else 500)
            if answer.due(ledger, 500):
                ledger.told = answer.value_for(ledger, 500) or ""
    _close(request, ledger, exc, own)


def _close(
    request: Any, ledger: Exchange, escaped: BaseException | None, own: OwnSpan | None
) -> None:
    if own is not None:
        own.leave()
    ledger.close(
        escaped, lambda status: server_span(ledger.scope_of(request), ledger.start_ns, status)
    )
    if own is not None:
        aftermath.tell(escaped, own.end)
