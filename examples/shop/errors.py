"""What goes wrong in a shop."""

from __future__ import annotations


class ShopError(Exception):
    """Base of the errors that the shop raises itself."""


class OutOfStock(ShopError):
    """There is nothing left to sell; answered with 409."""


class InventoryUnavailable(ShopError):
    """The inventory service did not answer properly; answered with 503."""


class InvalidRequest(ShopError):
    """A message that makes no sense."""


class UnknownTenant(ShopError):
    """A tenant header that names nobody."""


STATUS: dict[type[ShopError], int] = {OutOfStock: 409, InventoryUnavailable: 503}
