"""The corpus: what fails where, and what the trace must show for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404
from django.http.multipartparser import MultiPartParserError

from contract.expect import ESCAPED, HANDLED, LATE, NOTHING, Expected
from contract.faults import DEPARTURES, FAULTS, PLAIN, Fault, named

WSGI, ASGI = "wsgi", "asgi"
BOTH = (WSGI, ASGI)

ESCAPED_IN = replace(ESCAPED, kind="middleware")


@dataclass(frozen=True)
class Case:
    """One request through a chain of layers.

    Attributes:
        name: id of the case.
        layers: names in `djangoapp.layers` or dotted paths, outermost first.
        fails: faults by the name of the site.
        expected: for the fault of the first site.
        path: what is asked for.
        servers: the handlers that the case runs under.
        settings: Django settings that differ.
        headers: of the request.
        receivers: signals that get a receiver failing at the site of their name.
    """

    name: str
    layers: tuple[str, ...]
    fails: Mapping[str, Fault]
    expected: Expected
    path: str = "/ok"
    servers: tuple[str, ...] = BOTH
    settings: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    receivers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def fault(self) -> Fault:
        """The fault that `expected` speaks of."""
        return next(iter(self.fails.values()))


def _error(name: str, cls: type[Exception], text: str) -> Fault:
    return Fault(name, lambda: cls(text), cls, text)


OTHER = _error("other", LookupError, "another fault")
CLIENT = (
    _error("http404", Http404, "no such thing"),
    _error("forbidden", PermissionDenied, "not yours"),
    _error("bad_request", BadRequest, "wrong"),
    _error("suspicious", SuspiciousOperation, "odd"),
    _error("host", DisallowedHost, "unknown host"),
    _error("too_big", RequestDataTooBig, "too much"),
    _error("multipart", MultiPartParserError, "no boundary"),
)


def _in(layer: str, phase: str = "call", kind: str = "middleware") -> Expected:
    return replace(ESCAPED, layer=layer, kind=kind, phase=phase)


def _middleware() -> list[Case]:
    shapes = [
        ("Plain", "plain.before", "Plain", "call"),
        ("Plain", "plain.after", "Plain", "call"),
        ("function", "function.before", "function.layer", "call"),
        ("function", "function.after", "function.layer", "call"),
        ("AsyncPlain", "async_plain.before", "AsyncPlain", "call"),
        ("AsyncPlain", "async_plain.after", "AsyncPlain", "call"),
        ("both", "both.before", None, "call"),
        ("both", "both.after", None, "call"),
        ("Mixin", "mixin.process_request", "Mixin", "process_request"),
        ("Mixin", "mixin.process_response", "Mixin", "process_response"),
        ("Reraising", "reraised", "Reraising", "call"),
    ]
    found = [
        Case(
            f"{site}-{where}",
            chain,
            {site: PLAIN},
            replace(ESCAPED_IN, layer=named_as, phase=phase),
        )
        for layer, site, named_as, phase in shapes
        for where, chain in {
            "outermost": (layer, "Quiet", "QuietMixin"),
            "inside": ("Quiet", "QuietMixin", layer),
        }.items()
    ]
    shared = ("LeftShared", "RightShared")
    found += [
        Case(
            f"inherited-{who}",
            shared,
            {f"{who}.process_request": PLAIN},
            _in(who, "process_request"),
        )
        for who in shared
    ]
    return found


def _hooks() -> list[Case]:
    def hook(layer: str, phase: str) -> Expected:
        return _in(layer, phase, "hook")

    return [
        Case(
            "process_view",
            ("Quiet", "ViewHook"),
            {"process_view": PLAIN},
            hook("ViewHook", "process_view"),
        ),
        Case(
            "process_template_response",
            ("TemplateHook", "Quiet"),
            {"process_template_response": PLAIN},
            hook("TemplateHook", "process_template_response"),
            path="/template",
        ),
        Case(
            "async-process_view",
            ("Quiet", "AsyncHooks"),
            {"async.process_view": PLAIN},
            hook("AsyncHooks", "process_view"),
        ),
        Case(
            "async-process_template_response",
            ("AsyncHooks",),
            {"async.process_template_response": PLAIN},
            hook("AsyncHooks", "process_template_response"),
            path="/template",
        ),
        Case(
            "process_exception-raises",
            ("ExceptionHook", "Quiet"),
            {"process_exception": OTHER, "view": PLAIN},
            replace(hook("ExceptionHook", "process_exception"), also=("ValueError",)),
        ),
        Case(
            "process_exception-raises-client",
            ("ExceptionHook",),
            {"process_exception": CLIENT[1], "view": PLAIN},
            replace(HANDLED, layer="ExceptionHook", also=("ValueError",)),
        ),
    ]


def _views() -> list[Case]:
    view = replace(ESCAPED, kind="view", phase="view")
    swallowed = replace(HANDLED, kind="view", layer="ok")
    return [
        Case("view", ("Quiet",), {"view": PLAIN}, replace(view, layer="ok")),
        Case(
            "async-view",
            ("Quiet",),
            {"async_view": PLAIN},
            replace(view, layer="async_ok"),
            path="/async",
        ),
        Case(
            "class-view",
            ("Quiet",),
            {"class_view": PLAIN},
            replace(view, layer="ClassView"),
            path="/class",
        ),
        Case("view-seen", ("ExceptionHook",), {"view": PLAIN}, replace(view, layer="ok")),
        Case(
            "render",
            ("Quiet",),
            {"render": PLAIN},
            replace(view, layer="template", phase="render"),
            path="/template",
        ),
        Case("forgiven", ("Quiet", "Forgiving"), {"view": PLAIN}, swallowed),
        Case("refused", ("Refusing", "Quiet"), {"view": PLAIN}, swallowed),
        Case("unavailable", ("Unavailable", "Quiet"), {"view": PLAIN}, replace(view, layer="ok")),
        Case("forgiven-render", ("Forgiving",), {"render": PLAIN}, HANDLED, path="/template"),
        Case(
            "converter",
            ("Quiet",),
            {"converter": OTHER},
            replace(ESCAPED, kind="route"),
            path="/converted/a",
        ),
    ]


def _handlers() -> list[Case]:
    def handler(name: str, *also: str) -> Expected:
        return replace(_in(name, name, "handler"), also=also)

    return [
        Case(
            "handler404",
            ("Quiet",),
            {"handler404": PLAIN},
            handler("handler404", "django.urls.exceptions.Resolver404"),
            path="/missing",
        ),
        Case(
            "handler403",
            ("Quiet",),
            {"handler403": PLAIN},
            handler("handler403", "django.core.exceptions.PermissionDenied"),
            path="/forbidden",
        ),
        Case(
            "handler400",
            ("Quiet",),
            {"handler400": PLAIN},
            handler("handler400", "django.core.exceptions.BadRequest"),
            path="/bad",
        ),
        Case(
            "handler500",
            ("Quiet", "Plain", "function"),
            {"handler500": PLAIN, "view": OTHER},
            handler("handler500", "LookupError"),
        ),
        Case(
            "handler500-for-middleware",
            ("Quiet", "Plain"),
            {"handler500": PLAIN, "plain.before": OTHER},
            handler("handler500", "LookupError"),
        ),
        Case(
            "handler404-then-500",
            ("Quiet",),
            {"handler404": PLAIN, "handler500": OTHER},
            handler("handler404", "LookupError"),
            path="/missing",
        ),
    ]


def _recovery() -> list[Case]:
    return [
        Case("recovered-view", ("Recover", "Quiet"), {"view": PLAIN}, replace(HANDLED, layer="ok")),
        Case(
            "recovered-layer",
            ("Recover", "Plain"),
            {"plain.before": PLAIN},
            replace(HANDLED, layer="Plain"),
        ),
        Case("recovered-as-503", ("RecoverAs503", "Plain"), {"plain.after": PLAIN}, _in("Plain")),
        Case(
            "recovered-client-as-503",
            ("RecoverAs503", "Plain"),
            {"plain.after": CLIENT[1]},
            _in("Plain"),
        ),
        # The inner error crosses no layer; the one that does names it in its chain.
        Case(
            "translated",
            ("Quiet", "Translating"),
            {"translated": PLAIN, "translated.cause": OTHER},
            _in("Translating"),
        ),
        Case(
            "second-failure",
            ("SecondFailure", "Plain"),
            {"second": PLAIN, "plain.before": OTHER},
            replace(_in("SecondFailure"), also=("LookupError",)),
        ),
    ]


def _clients() -> list[Case]:
    found = [
        Case(
            f"layer-{fault}",
            ("Quiet", "Plain"),
            {"plain.before": fault},
            replace(HANDLED, layer="Plain"),
        )
        for fault in CLIENT
    ]
    found += [Case(f"view-{fault}", ("Quiet",), {"view": fault}, NOTHING) for fault in CLIENT]
    found += [
        Case(
            "hook-forbidden",
            ("ViewHook",),
            {"process_view": CLIENT[1]},
            replace(HANDLED, kind="hook"),
        ),
        Case("no-route", ("Quiet",), {"": PLAIN}, NOTHING, path="/missing"),
        Case("answers-404", ("Quiet",), {"": PLAIN}, NOTHING, path="/answers/404"),
        Case(
            "answers-500",
            ("Quiet",),
            {"": PLAIN},
            Expected(event=False, status="ERROR"),
            path="/answers/500",
        ),
        Case("fine", ("Quiet", "both", "Mixin"), {"": PLAIN}, NOTHING),
        Case("fine-async", ("AsyncPlain",), {"": PLAIN}, NOTHING, path="/async"),
        Case("fine-stream", ("Quiet",), {"": PLAIN}, NOTHING, path="/stream"),
        Case(
            "fine-async-stream",
            ("Quiet",),
            {"": PLAIN},
            NOTHING,
            path="/async-stream",
            servers=(ASGI,),
        ),
        Case("fine-file", ("Quiet",), {"": PLAIN}, NOTHING, path="/file"),
    ]
    return found


def _streams() -> list[Case]:
    stream = replace(ESCAPED, kind="view", phase="stream")
    return [
        Case(
            "stream", ("Quiet",), {"stream": PLAIN}, replace(stream, layer="stream"), path="/stream"
        ),
        Case(
            "chunks", ("Quiet",), {"chunks": PLAIN}, replace(stream, layer="chunks"), path="/chunks"
        ),
        Case(
            "async-stream",
            ("Quiet",),
            {"async_stream": PLAIN},
            replace(stream, layer="async_stream"),
            path="/async-stream",
        ),
        Case(
            "wrapped-stream",
            ("WrapsStream", "Quiet"),
            {"wraps_stream": PLAIN},
            replace(stream, kind="middleware", layer="WrapsStream"),
            path="/stream",
        ),
        Case(
            "stream-inside-wrapper",
            ("WrapsStream",),
            {"stream": PLAIN},
            replace(stream, layer="stream"),
            path="/stream",
        ),
        Case(
            "chunks-close",
            ("Quiet",),
            {"chunks.close": PLAIN},
            replace(LATE, phase="close"),
            path="/chunks",
        ),
        Case(
            "resource-close",
            ("Quiet",),
            {"resource.close": PLAIN},
            replace(LATE, phase="close"),
            path="/resource",
        ),
    ]


def _outside() -> list[Case]:
    def signal(name: str) -> Case:
        expected = replace(ESCAPED, layer=f"on_{name}", kind="hook", phase=name)
        return Case(name, ("Quiet",), {name: PLAIN}, expected, receivers=(name,))

    raised = signal("got_request_exception")
    finished = signal("request_finished")
    return [
        signal("request_started"),
        replace(finished, expected=replace(finished.expected, late=True)),
        replace(
            raised,
            fails={**raised.fails, "view": OTHER},
            expected=replace(raised.expected, also=("LookupError",)),
        ),
    ]


# Django's own code fails when it looks at them.
_BREAKS_DJANGO = {"lying_class": ("RuntimeError",), "hostile_attributes": ("RuntimeError",)}


def _faults() -> list[Case]:
    found = []
    for fault in FAULTS:
        if fault is PLAIN:
            continue
        # A coroutine that raises GeneratorExit by itself breaks the event loop's rules.
        servers = (WSGI,) if fault.name == "generator_exit" else BOTH
        also = _BREAKS_DJANGO.get(fault.name, ())
        for name, layers, site, layer, kind, phase in (
            ("layer", ("Quiet", "Plain"), "plain.before", "Plain", "middleware", "call"),
            ("view", ("Plain",), "view", "ok", "view", "view"),
        ):
            expected = replace(ESCAPED, layer=layer, kind=kind, phase=phase, also=also)
            if fault in DEPARTURES:
                expected = NOTHING
            found.append(Case(f"{name}-{fault}", layers, {site: fault}, expected, servers=servers))
    found += [
        Case("exit-after", ("Plain",), {"plain.after": fault}, _in("Plain"))
        for fault in named("system_exit")
    ]
    return found


CASES: tuple[Case, ...] = tuple(
    _middleware()
    + _hooks()
    + _views()
    + _handlers()
    + _recovery()
    + _clients()
    + _streams()
    + _outside()
    + _faults()
)
