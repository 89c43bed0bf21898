"""Threats 20 and 30 where the platform itself is at fault: a ledger set back, a clock behind, disks that are full."""

import asyncio
import resource
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest

from services.ctl.stack import ROOT, environment
from services.errors import AccordError, Kind, Reason
from tests.support.world import Visit, World, new_ins


@asynccontextmanager
async def limited(world: World, name: str, file_bytes: int) -> AsyncIterator[None]:
    """No file of this process may grow beyond so many bytes meanwhile: its disk is full."""
    pid = world.stack.processes[name].pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def unavailable(visit: Visit, *reasons: Reason) -> None:
    """A good bundle of a consenting patient, refused because the platform cannot: nothing is sent."""
    person = await visit.patient()
    error = await visit.refused(visit.bundle(person))
    assert error.kind is Kind.UNAVAILABLE
    assert error.reason in reasons


async def test_threat_20_a_ledger_set_back_to_an_earlier_day_forwards_nothing_more(own_world: World) -> None:
    database = own_world.stack.folder / "data" / "consent.db"
    async with own_world.visit() as visit:
        person = await visit.patient()
        await visit.send(visit.bundle(person))
        own_world.stack.stop_one("consent")
        shutil.copy(database, database.with_suffix(".yesterday"))
        restart(own_world)
        await visit.send(visit.bundle(person))
        await visit.people.revoke(person.consents["lumen"])
        await visit.refused(visit.bundle(person))
    own_world.stack.stop_one("consent")
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    shutil.copy(database.with_suffix(".yesterday"), database)
    restart(own_world)
    async with own_world.visit() as visit:
        assert (await visit.check(person)).permitted, "the ledger itself does not know what it lost"
        error = await visit.refused(visit.bundle(person))
        assert (error.reason, error.kind) == (Reason.LEDGER_ROLLED_BACK, Kind.UNAVAILABLE)


# The consent process with its wall clock an hour ahead.
AHEAD = """
import runpy, time
real = time.time_ns
time.time_ns = lambda: real() + 3_600_000_000_000
runpy.run_module("services.consent", run_name="__main__", alter_sys=True)
"""


async def test_threat_20_a_clock_behind_the_ledger_decides_nothing(own_world: World) -> None:
    async with own_world.visit() as visit:
        person = await visit.patient()
        own_world.stack.stop_one("consent")
        command = [sys.executable, "-c", AHEAD, "--config", str(own_world.stack.folder / "consent.toml")]
        ahead = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment())
        await _opened(visit)
        ahead.terminate()
        await ahead.wait()
        restart(own_world)
        error = await visit.refused(visit.bundle(person))
        assert (error.reason, error.kind) == (Reason.CLOCK_BEHIND, Kind.UNAVAILABLE)


async def _opened(visit: Visit) -> None:
    """Opens a profile as soon as the process answers."""
    for _ in range(600):
        with suppress(AccordError):
            await visit.people.open_profile(new_ins(next(visit.world.numbers)))
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the process does not answer")


async def test_threat_30_a_full_ledger_or_key_store_sends_nothing_and_recovers(own_world: World) -> None:
    async with own_world.visit() as visit:
        person = await visit.patient()
        async with limited(own_world, "consent", 4096):
            error = await visit.refused(visit.bundle(person))
            assert error.kind is Kind.UNAVAILABLE
            with pytest.raises((AccordError, grpc.aio.AioRpcError)) as caught:
                await visit.patient()
            if isinstance(caught.value, grpc.aio.AioRpcError):
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await visit.send(visit.bundle(person))
        assert not (await visit.log()).violations


async def test_threat_30_a_full_spool_or_outbox_sends_nothing_and_recovers(own_world: World) -> None:
    async with own_world.visit() as visit:
        person = await visit.patient()
        async with limited(own_world, "exchange", 4096):
            error = await visit.refused(visit.bundle(person))
            assert (error.reason, error.kind) == (Reason.STORAGE_UNAVAILABLE, Kind.UNAVAILABLE)
        await visit.send(visit.bundle(person))


async def test_threat_30_without_a_ledger_nothing_is_sent(own_world: World) -> None:
    async with own_world.visit() as visit:
        person = await visit.patient()
        own_world.stack.processes["consent"].kill()
        own_world.stack.processes["consent"].wait()
        error = await visit.refused(visit.bundle(person))
        assert (error.reason, error.kind) == (Reason.LEDGER_UNAVAILABLE, Kind.UNAVAILABLE)
        del own_world.stack.processes["consent"]
        own_world.stack.start_one("consent")
        own_world.stack.wait_serving("consent")
        await visit.send(visit.bundle(person))


def restart(world: World) -> None:
    """Starts the consent process again."""
    world.stack.start_one("consent")
    world.stack.wait_serving("consent")
