"""Views."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, jsonify, render_template, stream_with_context
from flask.typing import ResponseReturnValue

from shop import drill, inventory
from shop.errors import OutOfStock

from .hooks import asked

shop = Blueprint("shop", __name__)


@shop.get("/health")
def health() -> ResponseReturnValue:
    """Answer the load balancer."""
    return "ok", {"content-type": "text/plain"}


@shop.get("/orders/<int:number>")
def order(number: int) -> ResponseReturnValue:
    """Return one order."""
    return jsonify(order=number, total=basket_total(number))


def basket_total(number: int) -> int:
    """Return what order `number` costs, in cents."""
    drill.check("view", asked())
    return 990 * number


@shop.get("/orders/<int:number>/receipt")
def receipt(number: int) -> ResponseReturnValue:
    """Return the printable receipt."""

    def total() -> int:
        drill.check("render", asked())
        return 990 * number

    return render_template("receipt.html", number=number, total=total)


@shop.get("/stock/<sku>")
def stock(sku: str) -> ResponseReturnValue:
    """Ask the inventory service how much is left.

    Raises:
        OutOfStock: nothing is left.
    """
    left = inventory.in_stock(sku, asked())
    if not left:
        raise OutOfStock(f"no {sku} is left")
    return jsonify(sku=sku, left=left)


@shop.get("/report.csv")
def report() -> Response:
    """Stream a report, row by row."""
    return Response(stream_with_context(rows()), content_type="text/csv")


def rows() -> Iterator[str]:
    """Yield the report; its database may go away half way."""
    yield "order,total\n"
    yield "1,990\n"
    drill.check("stream", asked())
    yield "2,1980\n"
