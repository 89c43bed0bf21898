"""Threat 31 against the three processes as they run: what the registry and an auditor do about a ledger put back whole."""

import asyncio
import json
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import grpc
from accord.registry.v1 import catalog_service_pb2, catalog_service_pb2_grpc, lease_service_pb2, lease_service_pb2_grpc

from services.chassis.status import accord_error
from services.ctl.stack import ROOT, environment
from services.errors import Reason
from services.formats.trust import Trust
from services.tlog.checkpoint import open_checkpoint
from tests.support.exchanges import until
from tests.support.witnesses import WATCH
from tests.support.world import World


def kept_size(database: Path, trust: Trust) -> int:
    """How far the registry has seen the log."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    notes = [note for (note,) in connection.execute("SELECT note FROM checkpoint")]
    connection.close()
    return max((open_checkpoint(note, trust.logs[0]).size for note in notes), default=0)


async def audited(world: World) -> tuple[int | None, Any]:
    """One look of `accord audit watch`: status and line."""
    folder = world.stack.folder
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WATCH, "--folder", str(folder), "--target", world.stack.target("consent")),
        *("--state", str(folder / "auditor" / "witness.json"), "--once", "--json"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    out, _ = await process.communicate()
    return process.returncode, json.loads(out)


async def lease_refused(world: World) -> Reason | None:
    """Why the ledger would get no lease now; None where it would."""
    async with world.channel("consent", "registry") as channel:
        stub = lease_service_pb2_grpc.LeaseServiceStub(channel)
        try:
            await stub.GetLease(lease_service_pb2.GetLeaseRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            return accord_error(error, Reason.INTERNAL).reason
    return None


async def is_refused(world: World) -> bool:
    return await lease_refused(world) is Reason.LEDGER_ROLLED_BACK


async def test_threat_31_after_a_ledger_is_put_back_whole_no_lease_is_issued_and_registrars_are_still_served(
    own_world: World,
) -> None:
    folder, stack = own_world.stack.folder, own_world.stack
    database = folder / "data" / "consent.db"
    stack.stop_one("consent")
    shutil.copy(database, database.with_suffix(".yesterday"))
    stack.start_one("consent")
    stack.wait_serving("consent")
    async with own_world.visit() as visit:
        person = await visit.patient()
        await visit.people.revoke(person.consents["lumen"])
        size = (await visit.log()).checkpoint.size
    stack.stop_one("registry")
    stack.start_one("registry")  # which looks at once, not in ten seconds
    stack.wait_serving("registry")
    await until(lambda: kept_size(folder / "data" / "registry.db", stack.trust) == size)
    assert await lease_refused(own_world) is None
    assert (await audited(own_world))[0] == 0

    stack.stop_one("consent")
    for path in database.parent.glob("consent.db-*"):
        path.unlink()
    shutil.copy(database.with_suffix(".yesterday"), database)
    stack.start_one("consent")
    stack.wait_serving("consent")
    stack.stop_one("registry")
    stack.start_one("registry")
    await until(lambda: is_refused(own_world))
    await until(lambda: not stack.serving("registry"))
    async with own_world.channel("registrar", "registry") as channel:
        catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        answer = await catalog.ListServices(catalog_service_pb2.ListServicesRequest(), timeout=10)
        assert len(answer.services) == 3
    status, line = await audited(own_world)
    assert (status, line["reason"], line["log"]) == (1, "LEDGER_ROLLED_BACK", stack.trust.logs[0].name)
