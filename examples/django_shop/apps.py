"""Connects the CORS rules of partners to django-cors-headers."""

from __future__ import annotations

from corsheaders.signals import check_request_enabled
from django.apps import AppConfig
from django.http import HttpRequest

from shop import drill

PARTNERS = {"https://partner.example"}


def partner_may_call(sender: object, request: HttpRequest, **kwargs: object) -> bool:
    """Allow the origins of partners, on top of those in the settings."""
    drill.check("cors", request.headers.get(drill.HEADER))
    return request.headers.get("origin") in PARTNERS


class ShopConfig(AppConfig):
    """The shop's one app."""

    name = "django_shop"

    def ready(self) -> None:
        """Register the receiver once the apps are loaded."""
        check_request_enabled.connect(partner_may_call)
