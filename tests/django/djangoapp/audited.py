"""Layers, views and receivers in the forms that an audit has to read."""

from __future__ import annotations

import functools

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import include, path
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from .layers import Quiet
from .views import handler403 as unguarded
from .views import handler404, handler500, ok, stream

__all__ = ["handler403", "handler404", "handler500"]


class BothModes:
    """One class for both, as the documentation has it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self):
            return self.__acall__(request)
        return self.get_response(request)

    async def __acall__(self, request):
        return await self.get_response(request)


class Unused:
    def __init__(self, get_response):
        raise MiddlewareNotUsed


class Counts(Quiet):
    """Wraps a streamed body, of either kind, in generators of its own."""

    def __call__(self, request):
        response = self.get_response(request)
        if response.streaming:
            wrap = self.each_later if response.is_async else self.each
            response.streaming_content = wrap(response.streaming_content)
        return response

    def each(self, chunks):
        yield from chunks

    async def each_later(self, chunks):
        async for chunk in chunks:
            yield chunk


class AllHooks(Quiet):
    def process_view(self, request, view, args, kwargs):
        pass

    def process_exception(self, request, exception):
        pass

    def process_template_response(self, request, response):
        return response


def named_after_the_next(get_response):
    @functools.wraps(get_response)
    def layer(request):
        return get_response(request)

    return layer


class Callable:
    def __init__(self, get_response):
        self.get_response = get_response

    def handle(self, request):
        return self.get_response(request)


def bound(get_response):
    return Callable(get_response).handle


class Elsewhere:
    def __get__(self, instance, owner):
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, layer, request):
        return layer.get_response(request)


class Unreadable(Quiet):
    """What it calls is no function of its own, or none at all."""

    __call__ = Elsewhere()
    process_exception = staticmethod(print)


def undocumented(view):
    def wrapper(request, *args, **kwargs):
        return view(request, *args, **kwargs)

    return wrapper


def guarded(handler):
    def checked(request, exception):
        return handler(request, exception)

    return checked


handler403 = guarded(unguarded)


@csrf_exempt
@never_cache
def decorated(request):
    return HttpResponse("fine")


class Class(View):
    def get(self, request):
        return HttpResponse("fine")


def numbered(request, number):
    return HttpResponse(str(number))


class Callee:
    def __call__(self, request):
        return HttpResponse("fine")


def template(request):
    return Rendered("none.html")


class Rendered(SimpleTemplateResponse):
    @property
    def rendered_content(self):
        return "rendered"


async def later(request):
    return HttpResponse("fine")


def on_started(sender, **kwargs):
    pass


def on_finished(sender, **kwargs):
    pass


async def on_started_later(sender, **kwargs):
    pass


def on_error(sender, **kwargs):
    pass


class OwnHandler(WSGIHandler):
    """A project's own."""


def lazy_application(environ, start_response):
    return WSGIHandler()(environ, start_response)


urlpatterns = [
    path("", ok),
    path("decorated", decorated),
    path("class", Class.as_view()),
    path("callee", Callee()),
    path("hidden", undocumented(ok)),
    path("partial", functools.partial(ok)),
    path("template", template),
    path("later", later),
    path("stream", stream),
    path("deep/", include([path("<int:number>", undocumented(numbered))])),
]
