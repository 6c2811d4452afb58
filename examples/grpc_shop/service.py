"""The methods of the shop with threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shop import drill, inventory
from shop.errors import OutOfStock

from . import rules
from .wire import Message, asked


class Shop:
    """The servicer."""

    def order(self, request: Message, context: Any) -> Message:
        """Return one order."""
        number = request.get("order", 0)
        return {"order": number, "total": rules.basket_total(number, asked(context))}

    def stock(self, request: Message, context: Any) -> Message:
        """Ask the inventory service how much is left.

        Raises:
            OutOfStock: nothing is left.
        """
        sku = request.get("sku", "espresso")
        left = inventory.in_stock(sku, asked(context))
        if not left:
            raise OutOfStock(f"no {sku} is left")
        return {"sku": sku, "left": left}

    def report(self, request: Message, context: Any) -> Iterator[Message]:
        """Stream a report, row by row."""
        yield from rules.rows(asked(context))

    def restock(self, requests: Iterator[Message], context: Any) -> Message:
        """Take a delivery in, article by article."""
        count = sum(message.get("count", 0) for message in requests)
        drill.check("restock", asked(context))
        return {"count": count}

    def basket(self, requests: Iterator[Message], context: Any) -> Iterator[Message]:
        """Tell what the basket costs, after each article."""
        total = 0
        for message in requests:
            total += rules.basket_total(message.get("count", 0), "")
            yield {"total": total}
            drill.check("basket", asked(context))
