"""How the WSGI shops are served: one worker with threads; newer versions' control socket off."""

from __future__ import annotations

worker_class = "gthread"
workers = 1
threads = 2
control_socket_disable = True
