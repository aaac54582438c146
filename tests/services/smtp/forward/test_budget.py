"""A bound on what tasks hold together."""

from __future__ import annotations

import asyncio

from services.smtp.forward.budget import Budget


async def most_held(total: int, *amounts: int) -> int:
    """The most that was held at a time when tasks hold these amounts, each for a while."""
    budget, held, most = Budget(total), 0, 0

    async def hold(amount: int) -> None:
        nonlocal held, most
        async with budget.hold(amount):
            held += amount
            most = max(most, held)
            for _ in range(10):
                await asyncio.sleep(0)
            held -= amount

    await asyncio.gather(*map(hold, amounts))
    return most


def test_no_more_is_held_than_there_is() -> None:
    assert asyncio.run(most_held(10, *[3] * 50)) == 9
    assert asyncio.run(most_held(10, 5, 5, 1, 9, 10, 2)) == 10


def test_who_asks_for_more_than_there_is_gets_all_of_it_alone() -> None:
    assert asyncio.run(most_held(10, 4, 4, 100, 4, 4)) == 100


def test_first_come_first_served() -> None:
    """Whoever needs much is not passed by for ever by those that need little."""

    async def run() -> list[int]:
        budget, order = Budget(10), []

        async def hold(amount: int) -> None:
            async with budget.hold(amount):
                order.append(amount)
                await asyncio.sleep(0)

        await asyncio.gather(*map(hold, [6, 10, 1, 2]))
        return order

    assert asyncio.run(run()) == [6, 10, 1, 2]


def test_who_is_cancelled_gives_back_what_it_held_and_its_turn() -> None:
    async def run() -> None:
        budget = Budget(10)
        holding = asyncio.Event()

        async def hold(amount: int) -> None:
            async with budget.hold(amount):
                holding.set()
                await asyncio.Event().wait()

        first, second = asyncio.create_task(hold(10)), asyncio.create_task(hold(10))
        await holding.wait()
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        async with asyncio.timeout(5), budget.hold(10):
            pass

    asyncio.run(run())
