"""Middleware of every shape that Django takes."""

from __future__ import annotations

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpResponse, StreamingHttpResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from .plan import calls, site


class Quiet:
    """A layer that never fails."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


class Plain:
    """A class with `__call__`, fails on the way in or out."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        site("plain.before")
        response = self.get_response(request)
        site("plain.after")
        return response


def function(get_response):
    def layer(request):
        site("function.before")
        response = get_response(request)
        site("function.after")
        return response

    return layer


class AsyncPlain:
    sync_capable = False
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        site("async_plain.before")
        response = await self.get_response(request)
        site("async_plain.after")
        return response


@sync_and_async_middleware
def both(get_response):
    if iscoroutinefunction(get_response):

        async def async_layer(request):
            site("both.before")
            response = await get_response(request)
            site("both.after")
            return response

        return async_layer

    def layer(request):
        site("both.before")
        response = get_response(request)
        site("both.after")
        return response

    return layer


class QuietMixin(MiddlewareMixin):
    """Never fails either, in both modes."""


class Mixin(MiddlewareMixin):
    def process_request(self, request):
        site("mixin.process_request")

    def process_response(self, request, response):
        site("mixin.process_response")
        return response


class Shared(MiddlewareMixin):
    """Two layers inherit this very method: only `self` tells them apart."""

    def process_request(self, request):
        site(f"{type(self).__name__}.process_request")


class LeftShared(Shared):
    pass


class RightShared(Shared):
    pass


class ViewHook(Quiet):
    def process_view(self, request, view, args, kwargs):
        site("process_view")


class TemplateHook(Quiet):
    def process_template_response(self, request, response):
        site("process_template_response")
        return response


class AsyncHooks(AsyncPlain):
    async def process_view(self, request, view, args, kwargs):
        site("async.process_view")

    async def process_template_response(self, request, response):
        site("async.process_template_response")
        return response


class ExceptionHook(Quiet):
    """Its `process_exception` looks on, or raises."""

    def process_exception(self, request, exception):
        site("process_exception")


class Forgiving(Quiet):
    def process_exception(self, request, exception):
        return HttpResponse("forgiven")


class Refusing(Quiet):
    def process_exception(self, request, exception):
        return HttpResponse("refused", status=409)


class Unavailable(Quiet):
    def process_exception(self, request, exception):
        return HttpResponse("unavailable", status=503)


class Recover(Quiet):
    """Answers 200 to whatever went wrong further in: Django made it a 500 by then."""

    def __call__(self, request):
        response = self.get_response(request)
        return HttpResponse("recovered") if response.status_code >= 500 else response


class RecoverAs503(Quiet):
    def __call__(self, request):
        response = self.get_response(request)
        return HttpResponse("later", status=503) if response.status_code >= 400 else response


class Translating(Quiet):
    """Calls a part of its own that fails, and raises an error of its own from it."""

    def __call__(self, request):
        try:
            site("translated.cause")
        except LookupError:
            site("translated")
        return self.get_response(request)


class Reraising(Quiet):
    def __call__(self, request):
        try:
            site("reraised")
        except Exception:
            calls.append("noted")
            raise
        return self.get_response(request)


class SecondFailure(Quiet):
    """Fails after the inner layer has failed: two errors, neither linked to the other."""

    def __call__(self, request):
        response = self.get_response(request)
        site("second")
        return response


class WrapsStream(Quiet):
    def __call__(self, request):
        response = self.get_response(request)
        if response.streaming and not response.is_async:
            response.streaming_content = self.wrapped(response.streaming_content)
        return response

    def wrapped(self, chunks):
        for chunk in chunks:
            site("wraps_stream")
            yield chunk


class MakesStream(Quiet):
    def __call__(self, request):
        self.get_response(request)
        return StreamingHttpResponse(iter([b"a", b"b"]))


class OwnSpan(Quiet):
    """Has a span of its own open while it fails."""

    def __call__(self, request):
        from opentelemetry import trace

        with trace.get_tracer("app").start_as_current_span("own work"):
            site("own_span")
        return self.get_response(request)
