"""Cases: WSGI layers, and what they do with the errors of others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask import Flask

from contract.expect import ESCAPED, HANDLED, LATE
from contract.faults import BASE, CALM, HOSTILE, Fault, fault_site
from flask_case import CASES
from flask_cases_hooks import VIEW, view_named_home
from flask_layers import (
    CloseRaises,
    CopiesEnviron,
    DropsBody,
    GeneratorRaisesAfter,
    GeneratorRaisesBefore,
    GeneratorThrough,
    RaisesAfter,
    RaisesBefore,
    RaisesInStart,
    Recovers,
    RecoversLater,
    RecoversQuietly,
    RecoversWhileSending,
    ReplacesEnviron,
    SlottedThrough,
    Through,
    Translates,
    closure_layer,
)

LAYER = replace(ESCAPED, kind="middleware")
LATE_LAYER = replace(LATE, kind="middleware")
TRANSLATED = "LookupError"


@CASES.add(replace(LAYER, layer="RaisesBefore"))
def layer_before(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RaisesBefore(app.wsgi_app, fault)


CASES.vary(CALM + HOSTILE + BASE, of="layer_before")


@CASES.add(replace(LAYER, layer="RaisesAfter"), with_stock=replace(LATE_LAYER, layer="RaisesAfter"))
def layer_after(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RaisesAfter(app.wsgi_app, fault)


CASES.vary(BASE, of="layer_after")


@CASES.add(LAYER, with_stock=LATE_LAYER)
def layer_drops_body(app: Flask, fault: Fault) -> None:
    app.wsgi_app = DropsBody(app.wsgi_app, fault)


@CASES.add(replace(LAYER, layer="closure_layer.closure"))
def layer_closure(app: Flask, fault: Fault) -> None:
    app.wsgi_app = closure_layer(app.wsgi_app, fault)


@CASES.add(LAYER)
def layer_middle(app: Flask, fault: Fault) -> None:
    app.wsgi_app = Through(closure_layer(SlottedThrough(app.wsgi_app), fault))


@CASES.add(LAYER)
def layer_in_start_response(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RaisesInStart(app.wsgi_app, fault)


@CASES.add(LAYER)
def layer_generator_before(app: Flask, fault: Fault) -> None:
    app.wsgi_app = GeneratorRaisesBefore(app.wsgi_app, fault)


@CASES.add(LAYER, with_stock=LATE_LAYER)
def layer_generator_after(app: Flask, fault: Fault) -> None:
    app.wsgi_app = GeneratorRaisesAfter(app.wsgi_app, fault)


@CASES.add(LATE_LAYER)
def layer_close(app: Flask, fault: Fault) -> None:
    app.wsgi_app = CloseRaises(app.wsgi_app, fault)


@CASES.add(replace(HANDLED, kind="middleware", layer="RaisesBefore"))
def recovered_200(app: Flask, fault: Fault) -> None:
    app.wsgi_app = Recovers(RaisesBefore(app.wsgi_app, fault), "200 OK")


CASES.vary(CALM + HOSTILE, of="recovered_200")


@CASES.add(replace(HANDLED, kind="middleware"))
def recovered_quietly(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RecoversQuietly(RaisesBefore(app.wsgi_app, fault), "200 OK")


@CASES.add(replace(HANDLED, kind="middleware"))
def recovered_later(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RecoversLater(RaisesBefore(app.wsgi_app, fault), "200 OK")


@CASES.add(replace(HANDLED, kind="middleware"))
def recovered_apart(app: Flask, fault: Fault) -> None:
    """The two layers are put on one after the other."""
    app.wsgi_app = RaisesBefore(app.wsgi_app, fault)
    app.wsgi_app = RecoversLater(Through(app.wsgi_app), "200 OK")


@CASES.add(LAYER)
def recovered_500(app: Flask, fault: Fault) -> None:
    app.wsgi_app = Recovers(RaisesBefore(app.wsgi_app, fault), "500 INTERNAL SERVER ERROR")


@CASES.add(LAYER)
def recovered_503_later(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RecoversLater(closure_layer(app.wsgi_app, fault), "503 SERVICE UNAVAILABLE")


@CASES.add(replace(HANDLED, kind="view"), config={"TESTING": True})
def recovered_view(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = RecoversLater(app.wsgi_app, "200 OK")


@CASES.add(VIEW, config={"TESTING": True})
def recovered_view_503(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = Recovers(app.wsgi_app, "503 SERVICE UNAVAILABLE")


@CASES.add(replace(LAYER, also=(TRANSLATED,)))
def translated(app: Flask, fault: Fault) -> None:
    app.wsgi_app = Translates(RaisesBefore(app.wsgi_app, fault))


@CASES.add(replace(VIEW, also=(TRANSLATED,)), config={"TESTING": True})
def translated_view(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = Translates(app.wsgi_app)


@CASES.add(replace(HANDLED, kind="middleware", also=(TRANSLATED,)))
def translated_then_recovered(app: Flask, fault: Fault) -> None:
    app.wsgi_app = Recovers(Translates(RaisesBefore(app.wsgi_app, fault)), "200 OK")


@CASES.add(VIEW)
def view_under_layers(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    for _ in range(3):
        app.wsgi_app = Through(app.wsgi_app)


@CASES.add(VIEW)
def view_under_generator(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = GeneratorThrough(GeneratorThrough(app.wsgi_app))


@CASES.add(VIEW, config={"TESTING": True})
def view_through_generator(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = GeneratorThrough(app.wsgi_app)


@CASES.add(VIEW)
def view_under_copied_environ(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = CopiesEnviron(app.wsgi_app)


@CASES.add(LAYER, with_stock=LATE_LAYER)
def layer_after_copied_environ(app: Flask, fault: Fault) -> None:
    app.wsgi_app = RaisesAfter(CopiesEnviron(app.wsgi_app), fault)


@CASES.add(VIEW)
def view_under_own_environ(app: Flask, fault: Fault) -> None:
    view_named_home(app, fault)
    app.wsgi_app = ReplacesEnviron(app.wsgi_app)


@CASES.add(HANDLED, with_stock=LATE, path="/stream")
def stream_recovered(app: Flask, fault: Fault) -> None:
    def stream() -> Any:
        def parts() -> Iterable[str]:
            yield "one"
            fault_site(fault)

        return parts()

    app.add_url_rule("/stream", "stream", stream)
    app.wsgi_app = RecoversWhileSending(app.wsgi_app, "")


@CASES.add(LAYER, path="/mounted")
def mounted_layer(app: Flask, fault: Fault) -> None:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    other = Flask("other")
    app.wsgi_app = DispatcherMiddleware(
        app.wsgi_app, {"/mounted": closure_layer(other.wsgi_app, fault)}
    )
