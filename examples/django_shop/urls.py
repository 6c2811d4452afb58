"""Routes."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("health", views.health),
    path("orders/<int:number>", views.order),
    path("orders/<int:number>/receipt", views.receipt),
    path("stock/<slug:sku>", views.stock),
    path("report.csv", views.report),
]
