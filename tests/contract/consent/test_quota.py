"""A quota is never exceeded, however many ask at once, and an exchange counts once, however often it is tried."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from services.consent.domain import commands as c
from services.consent.domain.terms import Limits, Quota
from services.errors import Reason
from tests.support.ledgers import NOW_MS, RECIPIENT, SENDER, Bench, build, query

FIVE = Limits(quota=Quota(5))


async def limited(bench: Bench, limits: Limits = FIVE) -> c.Query:
    """A question about a patient whose consent to the sender has a quota."""
    address = await bench.patient()
    await bench.grant(address, SENDER, limits=limits)
    await bench.grant(address, RECIPIENT)
    return query(address)


async def asked(bench: Bench, about: c.Query, prefix: str, times: int) -> list[c.Decision]:
    """So many different exchanges, at once."""
    items = (c.Authorize(about, f"{prefix}{number:063x}", (), "t" * 43) for number in range(times))
    return await asyncio.gather(*map(bench.ledger.authorize, items))


async def test_two_hundred_at_once_get_exactly_the_five_of_the_quota(bench: Bench) -> None:
    decisions = await asked(bench, await limited(bench), "a", 200)
    assert sum(item.permit is not None for item in decisions) == 5
    assert {item.told for item in decisions if item.permit is None} == {Reason.QUOTA_EXHAUSTED}
    kinds = bench.kinds()
    assert (kinds.count("exchange.authorized"), kinds.count("exchange.denied")) == (5, 195)


async def test_two_processes_at_once_get_five_between_them(bench: Bench, database_url: str) -> None:
    about = await limited(bench)
    other = build(database_url, clock=bench.clock, view=bench.view)
    ready = threading.Barrier(2)

    def run(one: Bench, prefix: str) -> list[c.Decision]:
        ready.wait()
        return asyncio.run(asked(one, about, prefix, 100))

    with ThreadPoolExecutor(2) as threads:
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(
            *(loop.run_in_executor(threads, run, one, prefix) for one, prefix in ((bench, "a"), (other, "b")))
        )
    assert sum(item.permit is not None for part in found for item in part) == 5
    assert bench.kinds().count("exchange.authorized") == 5
    await other.close()


async def test_an_exchange_counts_once_however_often_it_is_tried_and_is_never_given_back(bench: Bench) -> None:
    about = await limited(bench)
    first = c.Authorize(about, "a" * 64, (), "t" * 43)
    for _ in range(10):
        assert (await bench.ledger.authorize(first)).permit
    assert sum(item.permit is not None for item in await asked(bench, about, "b", 10)) == 4
    assert (await bench.ledger.authorize(first)).permit  # it was counted


async def test_a_quota_of_a_period_begins_anew_with_each_period_of_the_consent(bench: Bench) -> None:
    about = await limited(bench, Limits(quota=Quota(2, 60)))
    for period in range(3):
        bench.clock.now_ms = NOW_MS + period * 60_000
        assert sum(item.permit is not None for item in await asked(bench, about, f"{period}", 5)) == 2
        bench.clock.now_ms += 59_999
        assert not any(item.permit for item in await asked(bench, about, f"{'def'[period]}", 3))
