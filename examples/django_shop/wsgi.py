"""Entry point of a server: `gunicorn django_shop.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application
from opentelemetry.instrumentation.django import DjangoInstrumentor

from shop import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_shop.settings")
tracing.start("django-shop")
DjangoInstrumentor().instrument()
application = get_wsgi_application()
