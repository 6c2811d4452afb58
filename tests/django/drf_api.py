"""A REST framework API: views that fail, and what stands before them."""

from __future__ import annotations

from typing import Any, NoReturn

from django.http import Http404
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView, exception_handler
from rest_framework.viewsets import ViewSet


class Outage(exceptions.APIException):
    status_code = 503


class Badge(BaseAuthentication):
    def authenticate(self, request: Any) -> NoReturn:
        raise exceptions.AuthenticationFailed("bad badge")


class LostBadge(BaseAuthentication):
    def authenticate(self, request: Any) -> NoReturn:
        raise ConnectionError("directory down")


class Closed(BasePermission):
    message = "closed"

    def has_permission(self, request: Any, view: Any) -> bool:
        return False


class NotYours(BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return False


class BrokenRule(BasePermission):
    def has_permission(self, request: Any, view: Any) -> NoReturn:
        raise ConnectionError("rules down")


class Busy(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return False


class Amount(serializers.Serializer[Any]):
    amount = serializers.IntegerField()


RAISED: dict[str, Any] = {
    "crash": lambda: ConnectionError("stock down"),
    "api": lambda: exceptions.APIException("sorry"),
    "outage": lambda: Outage("sorry"),
    "missing": lambda: exceptions.NotFound("no such order"),
    "http404": lambda: Http404("no such order"),
    "forbidden": lambda: exceptions.PermissionDenied("not yours"),
    "invalid": lambda: exceptions.ValidationError({"amount": "odd"}),
}


def fail(what: str) -> NoReturn:
    made: Exception = RAISED[what]()
    raise made


class Order(APIView):
    def get(self, request: Any, what: str) -> Response:
        if what == "ok":
            return Response({"ok": True})
        if what == "object":
            self.check_object_permissions(request, object())
        fail(what)

    def post(self, request: Any, what: str) -> Response:
        Amount(data=request.data).is_valid(raise_exception=True)
        return Response({})


class Orders(ViewSet):
    def list(self, request: Any) -> NoReturn:
        fail("crash")


@api_view(["GET"])
def order(request: Any) -> NoReturn:
    fail("crash")


class Own(APIView):
    """One with a word of its own, which asks the framework in the end."""

    def handle_exception(self, exc: Exception) -> Any:
        return super().handle_exception(exc)

    def get(self, request: Any) -> NoReturn:
        fail("crash")


def guarded(**classes: Any) -> Any:
    return type("Guarded", (Order,), classes).as_view()


urlpatterns = [
    path("orders/<what>", Order.as_view()),
    path("viewset", Orders.as_view({"get": "list"})),
    path("function", order),
    path("own", Own.as_view()),
    path("badge/<what>", guarded(authentication_classes=[Badge])),
    path("lostbadge/<what>", guarded(authentication_classes=[LostBadge])),
    path("closed/<what>", guarded(permission_classes=[Closed])),
    path("notyours/<what>", guarded(permission_classes=[NotYours])),
    path("brokenrule/<what>", guarded(permission_classes=[BrokenRule])),
    path("busy/<what>", guarded(throttle_classes=[Busy])),
]


def answers_500(exc: Exception, context: Any) -> Any:
    return exception_handler(exc, context) or Response({"error": "sorry"}, status=500)


def answers_200(exc: Exception, context: Any) -> Any:
    return Response({"error": "sorry"}, status=200)


def answers_nothing(exc: Exception, context: Any) -> None:
    return None


def fails(exc: Exception, context: Any) -> NoReturn:
    raise LookupError("no handler") from exc


def records(exc: Exception, context: Any) -> Any:
    """Do as those had to who knew of no seam."""
    import everylayer

    everylayer.record(exc, layer="by hand")
    return answers_500(exc, context)
