"""Views, error handlers and a URL converter that fail on demand."""

from __future__ import annotations

import io

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.views import View

from .plan import Chunks, Closes, site


def ok(request):
    site("view")
    return HttpResponse("fine")


async def async_ok(request):
    site("async_view")
    return HttpResponse("fine")


class ClassView(View):
    def get(self, request):
        site("class_view")
        return HttpResponse("fine")


def returns_none(request):
    return None


class Rendered(SimpleTemplateResponse):
    @property
    def rendered_content(self):
        site("render")
        return "rendered"


def template(request):
    return Rendered("none.html")


def stream(request):
    def chunks():
        yield b"one"
        site("stream")
        yield b"two"

    return StreamingHttpResponse(chunks())


def chunks(request):
    return StreamingHttpResponse(Chunks())


async def async_stream(request):
    async def chunks():
        yield b"one"
        site("async_stream")
        yield b"two"

    return StreamingHttpResponse(chunks())


def file(request):
    return FileResponse(io.BytesIO(b"file"))


def resource(request):
    response = HttpResponse("fine")
    response._resource_closers.append(Closes().close)
    return response


def not_found(request):
    raise Http404("no such thing")


def forbidden(request):
    raise PermissionDenied("not yours")


def suspicious(request):
    raise SuspiciousOperation("odd")


def bad(request):
    raise BadRequest("wrong")


def answers(request, status):
    return HttpResponse("as told", status=status)


def host(request):
    return HttpResponse(request.get_host())


def handler404(request, exception):
    site("handler404")
    return HttpResponse("nothing here", status=404)


def handler403(request, exception):
    site("handler403")
    return HttpResponse("forbidden", status=403)


def handler400(request, exception):
    site("handler400")
    return HttpResponse("bad", status=400)


def handler500(request):
    site("handler500")
    return HttpResponse("broken", status=500)


class Converter:
    regex = "[a-z]+"

    def to_python(self, value):
        site("converter")
        return value

    def to_url(self, value):
        return value


def converted(request, name):
    return HttpResponse(name)
