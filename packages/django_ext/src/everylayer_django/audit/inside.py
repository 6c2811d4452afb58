"""The handler of Django's within the layers that a server calls."""

from __future__ import annotations

import sys
from typing import Any

from everylayer.audit.callables import interface_of, slots_of

_MOST = 64
# An app of another framework is that framework's, whatever it leads to.
_OTHERS = ("fastapi.applications", "flask.app", "starlette.applications", "starlette.routing")


def is_handler(app: object) -> bool:
    """Tell whether `app` is a handler of Django's."""
    # Not imported for an app of another framework.
    base = sys.modules.get("django.core.handlers.base")
    return base is not None and isinstance(app, base.BaseHandler) and callable(app)


def handler_in(app: Any) -> Any:
    """Return the handler that `app` is or leads to, None where there is none."""
    interface = interface_of(app)

    def is_app(value: Any) -> bool:
        return is_handler(value) or (bool(interface) and interface_of(value) == interface)

    for _ in range(_MOST):
        if is_handler(app):
            return app
        if not is_app(app) or any(cls.__module__ in _OTHERS for cls in type(app).__mro__):
            return None
        slots = slots_of(app, is_app)
        if not slots or slots[0].prefix:
            return None
        app = slots[0].app
    return None
