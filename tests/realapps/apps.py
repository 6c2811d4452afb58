"""Applications that others wrote, and what each needs to be audited."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class App:
    """An application.

    Attributes:
        package: its distribution, which the version is told of.
        framework: `django`, `flask` or `starlette`.
        target: as it is typed.
        more: further requirements.
        prepare: commands of its own virtual environment, run first.
        path: what is asked for.
    """

    package: str
    framework: str
    target: str
    more: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    path: str = "/"


APPS = (
    App(
        "wagtail",
        "django",
        "mysite.settings.dev",
        prepare=(
            ("wagtail", "start", "mysite", "."),
            ("python", "manage.py", "migrate"),
        ),
    ),
    App(
        "bugsink",
        "django",
        "bugsink_conf",
        prepare=(
            ("bugsink-create-conf", "--template=local", "-o", "bugsink_conf.py"),
            ("bugsink-manage", "migrate"),
        ),
    ),
    App("httpbin", "flask", "httpbin", path="/get"),
    App("isso", "flask", "isso_app", more=("opentelemetry-instrumentation-wsgi",)),
    App("datasette", "starlette", "datasette_app"),
    App(
        "starlette-admin",
        "starlette",
        "admin_app",
        more=("sqlalchemy[asyncio]", "python-multipart", "itsdangerous"),
        path="/admin/",
    ),
    App("marimo", "starlette", "marimo_app"),
)
