from __future__ import annotations

from django.urls import path, register_converter

from . import views

register_converter(views.Converter, "name")

handler400 = "djangoapp.views.handler400"
handler403 = "djangoapp.views.handler403"
handler404 = "djangoapp.views.handler404"
handler500 = "djangoapp.views.handler500"

urlpatterns = [
    path("ok", views.ok),
    path("async", views.async_ok),
    path("class", views.ClassView.as_view()),
    path("none", views.returns_none),
    path("template", views.template),
    path("stream", views.stream),
    path("chunks", views.chunks),
    path("async-stream", views.async_stream),
    path("file", views.file),
    path("resource", views.resource),
    path("not-found", views.not_found),
    path("forbidden", views.forbidden),
    path("suspicious", views.suspicious),
    path("bad", views.bad),
    path("answers/<int:status>", views.answers),
    path("host", views.host),
    path("converted/<name:name>", views.converted),
]
