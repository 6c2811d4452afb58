"""What the seams of ASGI and of WSGI are made with."""

from __future__ import annotations

from typing import Generic, TypeVar

from .layers import Layer, LayerMap
from .policy import ClientStatus, no_client_status
from .settings import Settings

App = TypeVar("App")


class BaseProbe(Generic[App]):
    """Stands around one layer.

    Args:
        app: the layer that it stands around.
        layer: what to call it; None lets the traceback tell.
        client_status: status that the framework gives an exception.
    """

    __slots__ = ("__weakref__", "app", "client_status", "layer")

    def __init__(
        self,
        app: App,
        layer: Layer | None = None,
        client_status: ClientStatus = no_client_status,
    ) -> None:
        self.app = app
        self.layer = layer
        self.client_status = client_status


class BaseSeam(BaseProbe[App]):
    """Stands around a whole app, and its tenants around that.

    Args:
        app: the application, or its outermost layer.
        settings: the rules in force.
        layers: names layers from tracebacks.
        layer: what to call the app itself where nothing better is known.
        client_status: status that the framework gives an exception.
    """

    __slots__ = ("layers", "settings")

    def __init__(
        self,
        app: App,
        settings: Settings,
        layers: LayerMap | None = None,
        layer: Layer | None = None,
        client_status: ClientStatus = no_client_status,
    ) -> None:
        super().__init__(app, layer, client_status)
        self.settings = settings
        self.layers = layers
        if settings.tenant != "off":
            self._surround(settings)

    def _surround(self, settings: Settings) -> None:
        raise NotImplementedError
