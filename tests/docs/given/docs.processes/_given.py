"""What the page takes as given: work to do, and somewhere to do it."""

from __future__ import annotations

import multiprocessing
import queue as queues

import everylayer
import everylayer.celery

multiprocessing.set_start_method("fork")
order, orders = 7, [7, 8]
exc = ValueError("no such order")
queue: queues.Queue[str] = queues.Queue()


def work(number: int) -> int:
    return number


workers = multiprocessing.Pool(1)
__all__ = ["everylayer", "exc", "order", "orders", "queue", "work", "workers"]
