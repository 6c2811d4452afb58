"""The methods of the shop with asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx

from shop import drill, inventory
from shop.errors import OutOfStock

from . import rules
from .wire import Message, asked


class Shop:
    """The servicer."""

    async def order(self, request: Message, context: Any) -> Message:
        """Return one order."""
        number = request.get("order", 0)
        return {"order": number, "total": rules.basket_total(number, asked(context))}

    async def stock(self, request: Message, context: Any) -> Message:
        """Ask the inventory service how much is left.

        Raises:
            OutOfStock: nothing is left.
        """
        sku = request.get("sku", "espresso")
        async with httpx.AsyncClient(timeout=inventory.TIMEOUT) as client:
            left = await inventory.in_stock_async(client, sku, asked(context))
        if not left:
            raise OutOfStock(f"no {sku} is left")
        return {"sku": sku, "left": left}

    async def report(self, request: Message, context: Any) -> AsyncIterator[Message]:
        """Stream a report, row by row."""
        for row in rules.rows(asked(context)):
            yield row

    async def restock(self, requests: AsyncIterator[Message], context: Any) -> Message:
        """Take a delivery in, article by article."""
        count = 0
        async for message in requests:
            count += message.get("count", 0)
        drill.check("restock", asked(context))
        return {"count": count}

    async def basket(
        self, requests: AsyncIterator[Message], context: Any
    ) -> AsyncIterator[Message]:
        """Tell what the basket costs, after each article."""
        total = 0
        async for message in requests:
            total += rules.basket_total(message.get("count", 0), "")
            yield {"total": total}
            drill.check("basket", asked(context))
