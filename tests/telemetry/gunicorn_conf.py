"""What all gunicorn servers here share: newer versions' control socket is off."""

from __future__ import annotations

control_socket_disable = True
