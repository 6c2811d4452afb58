"""What servers are given."""

from __future__ import annotations

from django.core.handlers.asgi import ASGIHandler

from .audited import OwnHandler

application = OwnHandler()
asgi_application = ASGIHandler()
