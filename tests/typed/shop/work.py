"""Work handed on: what a helper wraps keeps its signature."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from typing_extensions import assert_type

import everylayer


def price(sku: str, *, count: int = 1) -> float:
    return len(sku) * count / 100


async def stock(sku: str) -> int:
    return len(sku)


@everylayer.guard(layer="billing")
def bill(order: int, /, *, paid: bool) -> str:
    return f"{order}: {paid}"


@everylayer.guard()
async def ship(order: int) -> list[str]:
    return [str(order)]


def in_threads() -> None:
    assert_type(everylayer.propagate(price)("espresso", count=2), float)
    assert_type(bill(7, paid=True), str)
    with everylayer.ThreadPoolExecutor(max_workers=2, thread_name_prefix="prices") as pool:
        assert_type(pool.submit(price, "espresso", count=2), Future[float])
    with everylayer.guard():
        price("espresso")


def in_processes() -> None:
    with everylayer.ProcessPoolExecutor(max_workers=2) as pool:
        assert_type(pool.submit(price, "espresso"), Future[float])
        assert_type(list(pool.map(price, ["espresso"])), list[float])
    process = everylayer.Process(target=price, args=("espresso",))
    process.start()
    process.join(timeout=1.0)
    away = everylayer.carried(price)
    assert_type(everylayer.uncarried(away("espresso", count=3)), float)


async def in_tasks() -> None:
    task = everylayer.create_task(stock("espresso"), name="stock")
    assert_type(task, asyncio.Task[int])
    assert_type(await ship(7), list[str])
    async with everylayer.guard(layer="shipping"):
        await asyncio.sleep(0)
