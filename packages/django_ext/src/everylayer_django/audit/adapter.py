"""How an audit opens a Django project, given by its settings or by its WSGI or ASGI handler."""

from __future__ import annotations

import os
from typing import Any, Literal

import django
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string

from everylayer.audit.adapter import Opened
from everylayer.audit.hosts import choose
from everylayer.audit.model import Arm, Shape

from .arms import put_in
from .chain import chain_of
from .loading import load
from .responses import Responses


class DjangoAdapter:
    """Opens a handler of Django's; what stands around it is for others to read.

    What swallows or translates is the outermost entry of MIDDLEWARE: see `shapes`, which also
    says what cannot be translated in Django.
    """

    framework = "django"

    def prepare(self, arm: Arm) -> None:
        """Do nothing: all that an arm needs is put into the settings, which are not there yet."""

    def from_settings(self, module: str) -> Any:
        """Return the app that a server would call for the settings `module`."""
        os.environ["DJANGO_SETTINGS_MODULE"] = module
        django.setup()
        path = getattr(settings, "WSGI_APPLICATION", None)
        path = path or getattr(settings, "ASGI_APPLICATION", None)
        return import_string(path) if path else get_wsgi_application()

    def claims(self, app: object) -> bool:
        """Tell whether `app` is a handler with a chain; the one of static files has none."""
        return isinstance(app, (WSGIHandler, ASGIHandler)) and not isinstance(
            app, StaticFilesHandlerMixin
        )

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """Change the settings as the arm and the shape ask, build the chain anew, read it."""
        stock = put_in(arm, shape)
        interface: Literal["wsgi", "asgi"] = "asgi" if isinstance(app, ASGIHandler) else "wsgi"
        responses = Responses(app)
        entries = load(app)
        chain = chain_of(app, entries, responses)
        return Opened(app, interface, chain, stock, choose(settings.ALLOWED_HOSTS))
