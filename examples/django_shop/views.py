"""Views."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse

from shop import drill, inventory
from shop.errors import OutOfStock

from .middleware import asked


def health(request: HttpRequest) -> HttpResponse:
    """Answer the load balancer."""
    return HttpResponse("ok", content_type="text/plain")


def order(request: HttpRequest, number: int) -> HttpResponse:
    """Return one order."""
    return JsonResponse({"order": number, "total": basket_total(request, number)})


def basket_total(request: HttpRequest, number: int) -> int:
    """Return what order `number` costs, in cents."""
    drill.check("view", asked(request))
    return 990 * number


def receipt(request: HttpRequest, number: int) -> HttpResponse:
    """Return the printable receipt; the template is rendered after the view has returned."""

    def total() -> int:
        drill.check("render", asked(request))
        return 990 * number

    return TemplateResponse(request, "receipt.html", {"number": number, "total": total})


def stock(request: HttpRequest, sku: str) -> HttpResponse:
    """Ask the inventory service how much is left.

    Raises:
        OutOfStock: nothing is left.
    """
    left = inventory.in_stock(sku, asked(request))
    if not left:
        raise OutOfStock(f"no {sku} is left")
    return JsonResponse({"sku": sku, "left": left})


def report(request: HttpRequest) -> StreamingHttpResponse:
    """Stream a report, row by row."""
    return StreamingHttpResponse(rows(request), content_type="text/csv")


def rows(request: HttpRequest) -> Iterator[str]:
    """Yield the report; its database may go away half way."""
    yield "order,total\n"
    yield "1,990\n"
    drill.check("stream", asked(request))
    yield "2,1980\n"
