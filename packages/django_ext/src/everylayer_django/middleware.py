"""The line in MIDDLEWARE that switches everylayer on."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from everylayer.chain import drop_frame

from . import config, handled, patches, tenants
from .requests import see

GetResponse = Callable[[HttpRequest], "HttpResponseBase | Awaitable[HttpResponseBase]"]


class EveryLayerMiddleware:
    """Shows the errors of every layer of this Django app on the active span.

    In `MIDDLEWARE` its position does not matter: it puts its seams into Django itself and takes
    itself out of the chain. Called directly it is a layer of its own, and shows what crosses it.

    Args:
        get_response: the next layer, as Django gives it.

    Raises:
        TypeError: for anything else, such as a Flask or Starlette app.
        ImproperlyConfigured: for a setting that cannot be used.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse | None = None, **unknown: Any) -> None:
        self.get_response: GetResponse = _checked(get_response, unknown)
        rules = config.load()
        patches.install()
        handled.watch()
        caller = sys._getframe(1)
        if _called_by_django(caller):
            _say_nothing_of_it()
            if rules.tenant != "off":
                # The first chain of all is being loaded without a seam around that.
                tenants.surround(caller.f_locals["self"], rules)
            raise MiddlewareNotUsed
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Pass `request` on; show what comes back as an exception."""
        if self._is_async:
            return self._call_async(request)
        try:
            return self.get_response(request)
        except BaseException as exc:
            see(request, exc)
            drop_frame(exc)
            raise

    async def _call_async(self, request: HttpRequest) -> Any:
        try:
            return await self.get_response(request)  # type: ignore[misc]
        except BaseException as exc:
            see(request, exc)
            drop_frame(exc)
            raise


def _called_by_django(frame: FrameType) -> bool:
    # Raised anywhere else, MiddlewareNotUsed would take out a layer that has this one inside.
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) == (
        "django.core.handlers.base",
        "load_middleware",
    )


def _checked(get_response: Any, unknown: dict[str, Any]) -> GetResponse:
    remedy = (
        'Name it in MIDDLEWARE of the Django settings: "everylayer_django.EveryLayerMiddleware"; '
        "a Flask app takes everylayer_flask.EveryLayer, a Starlette, FastAPI or plain ASGI app "
        "everylayer_starlette.EveryLayerMiddleware."
    )
    where = "everylayer_django.EveryLayerMiddleware is a Django middleware and takes get_response"
    if unknown:
        raise TypeError(
            f"{where}, not {', '.join(sorted(unknown))}; settings of a Django app are in "
            f"EVERYLAYER. {remedy}"
        )
    if not callable(get_response):
        raise TypeError(f"{where}, not {get_response!r:.200}. {remedy}")
    try:
        signature = inspect.signature(get_response)
    except (TypeError, ValueError):
        return cast(GetResponse, get_response)  # it does not tell what it takes
    try:
        signature.bind(object())
    except TypeError:
        raise TypeError(
            f"{where}, a function of one request, not {get_response!r:.200}. {remedy}"
        ) from None
    return cast(GetResponse, get_response)


def _say_nothing_of_it() -> None:
    """Keep Django from logging at DEBUG level that the entry is not used: it is."""
    logger = logging.getLogger("django.request")
    if not settings.DEBUG or not logger.isEnabledFor(logging.DEBUG):
        return

    def once(record: logging.LogRecord) -> bool:
        if record.msg != "MiddlewareNotUsed: %r":
            return True
        logger.removeFilter(once)
        return False

    logger.addFilter(once)
