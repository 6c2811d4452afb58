"""Draw docs/dashboard.png: `python -m nox -s dashboard`, `-- --minutes N` for a longer run.

Two example apps serve customers, a real Prometheus scrapes them; for some minutes one of the apps
is deaf to the traces of its callers. Everything that is drawn was asked with the dashboard's own
queries. Grafana itself is not there: the picture is drawn by matplotlib, on the dashboard's grid.
"""

from __future__ import annotations

import argparse
import pickle
import signal
import tempfile
import threading
import time
from pathlib import Path

from prometheus_rules import RULES
from prometheus_world import HERE, World, running
from shop import inventory

from . import board, draw
from .traffic import VISITS, Customers

_SCRIPTS = {
    "flask-shop": HERE / "prometheus_shop.py",
    "starlette-shop": Path(__file__).with_name("starlette_served.py"),
}
_RATES = {"flask-shop": 18.0, "starlette-shop": 9.0}
# Of the whole time: when one shop loses the traces of its callers, and when it has them again.
# Enough for the page, and little enough for it to end.
_LOST, _FOUND = 0.25, 0.28
TARGET = Path(__file__).parents[2] / "docs" / "dashboard.png"


def drive(world: World, minutes: float) -> tuple[board.Span, board.Span]:
    """Have the shops visited; return what is to be shown, and when traces were lost."""
    began = time.time()
    stop = threading.Event()
    for name, app in world.apps.items():
        Customers(app, VISITS[name], _RATES[name], minutes * 50, stop).start()
    shop = world.apps["flask-shop"].process
    time.sleep(minutes * 60 * _LOST)
    lost = time.time()
    shop.send_signal(signal.SIGUSR1)
    time.sleep(minutes * 60 * (_FOUND - _LOST))
    shop.send_signal(signal.SIGUSR2)
    found = time.time()
    time.sleep(began + minutes * 60 - time.time())
    stop.set()
    # The first minute is too short for any rate.
    return board.Span(began + min(60, minutes * 12), time.time()), board.Span(lost, found)


def main() -> None:
    """Start everything, wait, and draw."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--output", type=Path, default=TARGET)
    parser.add_argument("--keep", type=Path, help="where to write what was asked, to draw again")
    parser.add_argument("--again", type=Path, help="draw what was kept, without a run")
    given = parser.parse_args()
    if given.again:
        draw.draw(*pickle.loads(given.again.read_bytes()), given.output)
        return
    with tempfile.TemporaryDirectory() as folder, inventory.server() as stock:
        threading.Thread(target=stock.serve_forever, daemon=True).start()
        env = {
            "INVENTORY_URL": f"http://127.0.0.1:{stock.server_port}",
            # So that something is left out.
            "EVERYLAYER_MAX_EVENTS": "1",
        }
        with running(_SCRIPTS, RULES, Path(folder), every=5, env=env) as world:
            shown, lost = drive(world, given.minutes)
            panels = list(board.read(world, shown))
            firing = board.alerts(world, shown)
        stock.shutdown()
    if given.keep:
        given.keep.write_bytes(pickle.dumps((panels, firing, shown, lost)))
    draw.draw(panels, firing, shown, lost, given.output)


if __name__ == "__main__":
    main()
