"""The one line that users add."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from everylayer.asgi import Seam
from everylayer.asgi_types import ASGIApp
from everylayer.settings import resolve

from . import patches
from .interleave import starts_span_itself
from .naming import client_status
from .seams import Claim
from .walk import probe_within


class EveryLayerMiddleware(Seam):
    """Puts every error of every layer on the request's span.

    `app.add_middleware(EveryLayerMiddleware)` covers a Starlette or FastAPI app, wherever it stands
    among the app's layers; `EveryLayerMiddleware(app)` goes around any other ASGI app.

    Args:
        app: an ASGI 3 app.
        **settings: fields of `everylayer.Settings`, over `configure()` and `EVERYLAYER_*`.

    Raises:
        TypeError: `app` is not an ASGI app.
        SettingsError: for an unknown setting or a value that does not fit.
    """

    _everylayer_entry = True
    _claim: Claim
    _ends: list[Any]

    if TYPE_CHECKING:
        # So that `add_middleware` accepts the class; older versions pass `app` by its name.
        def __init__(self, app: ASGIApp, /, **settings: Any) -> None: ...

    else:

        def __init__(self, app: ASGIApp, **settings: Any) -> None:
            _check(app)
            self._claim = claim = Claim(resolve(settings))
            self._ends = []
            super().__init__(app, claim.settings, claim.layers, client_status=client_status)
            if claim.settings.enabled:
                self._ends = probe_within(app, claim)
                patches.adopt(self._ends, claim.settings, claim.layers)

    def alone(self) -> bool:
        """Tell whether nothing inside starts a server span."""
        return not self._claim.starts_inside and not any(map(starts_span_itself, self._ends))


def _check(app: Any) -> None:
    remedy = ""
    if app is None or isinstance(app, (str, bytes, int)) or not callable(app):
        remedy = "give it the ASGI app: EveryLayerMiddleware(app)"
    elif hasattr(app, "wsgi_app") or _takes(app, "environ", "start_response"):
        remedy = "a WSGI app is covered by everylayer_flask.EveryLayer(app)"
    elif inspect.isclass(app) and not hasattr(app, "__await__"):
        remedy = "give it an app, not a class; add_middleware(EveryLayerMiddleware) needs none"
    elif _required(app) == 1 and not hasattr(app, "__await__"):
        remedy = (
            "in Django's MIDDLEWARE use everylayer_django.EveryLayerMiddleware; "
            "ASGI 2 apps need asgiref.compatibility.guarantee_single_callable first"
        )
    if remedy:
        raise TypeError(
            "everylayer_starlette.EveryLayerMiddleware needs an ASGI app, "
            f"not {_shown(app)}: {remedy}"
        )


def _shown(app: Any) -> str:
    return f"{type(app).__name__} {app!r:.80}"


def _takes(app: Any, *names: str) -> bool:
    try:
        return tuple(inspect.signature(app).parameters)[-len(names) :] == names
    except (TypeError, ValueError):
        return False


def _required(app: Any) -> int | None:
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in plain and p.default is inspect.Parameter.empty for p in parameters)


patches.install()
