"""Serve `changing:app` on an inherited socket under Django's autoreloader, as `runserver` does."""

from __future__ import annotations

import importlib
import socket
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.utils import autoreload

from contract import django_settings


class Threaded(socketserver.ThreadingMixIn, WSGIServer):
    """As Django's own development server."""

    daemon_threads = True


def main(fd: int) -> None:
    """Run until the reloader ends the process."""
    server = Threaded(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=fd)
    server.server_name, server.server_port = "127.0.0.1", server.socket.getsockname()[1]
    server.setup_environ()
    server.set_app(importlib.import_module("changing").app)
    server.serve_forever()


if __name__ == "__main__":
    django_settings.configure()
    autoreload.run_with_reloader(main, int(sys.argv[1]))
