"""How an audit opens a Django project, or a handler of Django's, alone or in layers around it."""

from __future__ import annotations

import os
from typing import Any, Literal

from everylayer.audit.adapter import Chain, Opened
from everylayer.audit.hosts import choose
from everylayer.audit.model import Arm, Request, Shape
from everylayer.audit.neutral import Neutral

from . import arms, shapes
from .inside import handler_in, is_handler
from .tree import read


class DjangoAdapter:
    """Opens what a WSGI or ASGI server would call, if a handler of Django's is in it.

    Django turns what a layer raises into a response before the next one could see it. So what
    swallows is a middleware outside all others of the app's that answers 200 to a view's error
    and in place of any 5xx; and what translates has only the errors of views to translate (see
    `shapes`): a fault in another layer stays the one error that it is.

    A host that the settings do not allow is answered before most layers have run, so requests ask
    for one that they allow.
    """

    framework = "django"

    def __init__(self) -> None:
        self._request = Request()

    def prepare(self, arm: Arm) -> None:
        """Keep everylayer out of the arms without it.

        All else waits for `open`: stock's instrumentor would make settings of its own for a
        project whose settings are not known yet.
        """
        arms.prepare(arm)

    def aim(self, request: Request) -> None:
        """Have `open` list the view that answers `request`, that of `GET /` without it."""
        self._request = request

    def from_settings(self, module: str) -> Any:
        """Return what serves the project of a settings module, for WSGI if it serves both.

        Raises:
            Exception: whatever is wrong with the project, such as ImproperlyConfigured.
        """
        os.environ["DJANGO_SETTINGS_MODULE"] = module
        import django
        from django.conf import settings
        from django.utils.module_loading import import_string

        django.setup()
        wsgi = getattr(settings, "WSGI_APPLICATION", None)
        asgi = getattr(settings, "ASGI_APPLICATION", None)
        path = wsgi or asgi
        if path:
            app = import_string(path)
            if handler_in(app) is not None:
                return app
        if asgi and not wsgi:
            from django.core.handlers.asgi import ASGIHandler

            return ASGIHandler()
        from django.core.handlers.wsgi import WSGIHandler

        return WSGIHandler()

    def claims(self, app: object) -> bool:
        """Tell whether `app` is a handler of Django's, or leads to one."""
        return handler_in(app) is not None

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Complete the instrumentation, shape the chain, build it anew and read it.

        Raises:
            Exception: whatever a middleware, or the URLconf, raises when it is made.
        """
        if not is_handler(app):
            return Neutral((_Inside(self, shape),)).open(app, arm, shape)
        stock = arms.complete(arm)
        shapes.put(shape)
        from django.conf import settings
        from django.core.handlers.asgi import ASGIHandler

        interface: Literal["wsgi", "asgi"] = "asgi" if isinstance(app, ASGIHandler) else "wsgi"
        host = choose(settings.ALLOWED_HOSTS)
        return Opened(app, interface, read(app, self._request), stock, host)

    def chain(self, app: Any) -> Chain:
        """Read the chain of a project that serves already; of its views, the one aimed at."""
        if not is_handler(app):
            return Neutral((_Inside(self, "raised"),)).chain(app)
        return read(app, self._request)


class _Inside:
    """Opens the handler within plain layers, in the shape that those do not know of."""

    framework = DjangoAdapter.framework

    def __init__(self, adapter: DjangoAdapter, shape: Shape) -> None:
        self._adapter = adapter
        self._shape = shape

    def prepare(self, arm: Arm) -> None:
        """Do nothing: that has been done."""

    def claims(self, app: object) -> bool:
        return is_handler(app)

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        return self._adapter.open(app, arm, self._shape)

    def chain(self, app: Any) -> Chain:
        return self._adapter.chain(app)
