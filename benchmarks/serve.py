"""What the real servers run: the app that the environment describes."""

from __future__ import annotations

import os
from typing import Any

from . import arms
from .spec import LAYERS, Spec
from .worker import set_up_logs

VARIABLE = "BENCH_SPEC"


def app() -> Any:
    """Set up the arm and return its app, in the process that serves it."""
    spec = Spec.from_json(os.environ[VARIABLE])
    set_up_logs(formatted=spec.logged)
    arms.start(spec.arm)
    if spec.framework == "starlette":
        from .apps import starlette_app

        return starlette_app.build(spec.arm, LAYERS)
    if spec.framework == "flask":
        from .apps import flask_app

        return flask_app.build(spec.arm, LAYERS)
    from .apps import django_app

    return django_app.build(spec.arm, LAYERS, asgi=spec.framework == "django-asgi")
