"""A real ledger on a SQLite file, shown over mutual TLS by a guarded process, and what a DBA does to it.

Those who witness it are the parts that run in production: the broker's witness and store, the registry's, and the
`accord audit watch` command as a process of its own.
"""

import asyncio
import itertools
import json
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from accord.consent.v1 import audit_service_pb2 as pb
from accord.consent.v1 import audit_service_pb2_grpc as pb_grpc

from services.chassis.channels import Channels
from services.chassis.clock import SystemClock
from services.chassis.db import Database
from services.chassis.ledger import LedgerLogs
from services.chassis.server import Endpoint, Process, ServerSettings
from services.chassis.telemetry import Telemetry
from services.chassis.witness import Witness
from services.ctl.stack import ROOT, environment
from services.exchange import store as exchange
from services.formats.trust import Trust
from services.registry import health, store
from services.registry.commits import Commits, run_read
from services.registry.config import Settings
from services.registry.lease import Leases
from services.registry.witnessing import witnessing
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from tests.support.certificates import Site
from tests.support.ledgers import PUBLIC_KEY, Bench, build
from tests.support.register import signer
from tests.support.registers import open_database, register_log

ACCESS = Path("deploy/k8s/files/access.yaml")
AUDIT = pb.DESCRIPTOR.services_by_name["AuditService"]
WATCH = "import typer; from services.ctl.audit_watch import register; app = typer.Typer(); register(app); app()"
"""The command alone: an app of one command is that command."""


class Shown(pb_grpc.AuditServiceServicer):
    """The real proofs of whatever ledger lies in the folder now."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, itertools.count(1)
        self.bench: Bench = build(folder)

    async def GetCheckpoints(self, request: Any, context: Any) -> pb.GetCheckpointsResponse:  # noqa: N802
        return pb.GetCheckpointsResponse(checkpoints=self.bench.ledger.proofs.checkpoints())

    async def GetConsistencyProof(self, request: Any, context: Any) -> pb.GetConsistencyProofResponse:  # noqa: N802
        hashes = self.bench.ledger.proofs.consistency(request.origin, request.old_size, request.new_size)
        return pb.GetConsistencyProofResponse(hashes=hashes)

    @property
    def origin(self) -> str:
        return self.bench.logs[0].origin

    @property
    def size(self) -> int:
        """The signed head's."""
        (note,) = self.bench.ledger.proofs.checkpoints()
        return open_checkpoint(note, Verifier(self.origin, PUBLIC_KEY)).size

    async def grow(self, patients: int) -> None:
        """Appends as many entries for each patient as their profile and pairings take; always others' patients."""
        for _ in range(patients):
            await self.bench.patient(next(self.numbers))

    async def copy(self, name: str) -> None:
        """The DBA's backup: entries, nodes, signed head and all the rest."""
        await self.bench.close()
        shutil.copy(self.folder / "ledger.db", self.folder / name)
        self.bench = build(self.folder)

    async def put_back(self, name: str) -> None:
        """Restores the backup, and starts the ledger on it: it finds nothing wrong."""
        await self.bench.close()
        for path in self.folder.glob("ledger.db*"):
            path.unlink()
        shutil.copy(self.folder / name, self.folder / "ledger.db")
        self.bench = build(self.folder)


@dataclass
class Witnessed:
    """A ledger that is shown, and its three witnesses; `ask` is the verdict of each, in a life of its own."""

    folder: Path
    site: Site
    shown: Shown
    target: str
    _files: dict[str, Any] = field(default_factory=dict)

    @property
    def trust(self) -> Trust:
        """TRUST of this ledger."""
        return Trust(self.site.ca.trust_domain, (Verifier(self.shown.origin, PUBLIC_KEY),), ())

    def files(self, path: str) -> Any:
        """The one leaf of an identity."""
        if path not in self._files:
            self._files[path] = self.site.files(path)
        return self._files[path]

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[Witness]:
        """The broker's witness, on the broker's own database."""
        channels, executor = Channels(self.files("/exchange")), ThreadPoolExecutor(1)
        database = Database(f"sqlite:///{self.folder / 'exchange.db'}")
        database.create(exchange.METADATA)
        memory = exchange.Store(database, executor, "exchange-0")
        logs = LedgerLogs(partial(channels.to, self.target, self.site.identity("/consent")))
        witness = Witness(logs, memory, self.trust)
        await witness.start()
        yield witness
        await memory.close()
        await channels.close()
        executor.shutdown()
        database.close()

    @asynccontextmanager
    async def registry(self) -> AsyncIterator["RegistryWitness"]:
        """The registry's parts that follow, lease and report, on the registry's own database."""
        (self.folder / "trust.json").write_bytes(self.trust.to_bytes())
        server = ServerSettings("127.0.0.1:0", "127.0.0.1:0", self.files("/registry"), ACCESS)
        url = f"sqlite:///{self.folder / 'registry.db'}"
        keys, trust_file = (self.folder / "lease.key", self.folder / "log.key"), self.folder / "trust.json"
        settings = Settings(server, url, self.site.ca.trust_domain, *keys, ledger=self.target, trust=trust_file)
        database, executor = open_database(url), ThreadPoolExecutor(1)
        async with witnessing(settings, database, executor) as require:
            load = partial(run_read, database, executor, store.snapshot)
            leases = Leases(signer(), settings.trust_domain, SystemClock(), load, require)
            yield RegistryWitness(database, leases, Commits(database, executor, leases, register_log(), SystemClock()))
        executor.shutdown()
        database.close()

    async def audit_watch(self, *arguments: str) -> "asyncio.subprocess.Process":
        """`accord audit watch`, started."""
        (self.folder / "trust.json").write_bytes(self.trust.to_bytes())
        tls = self.files("/auditor")
        for name, path in {"tls/auditor.crt": tls.cert, "tls/auditor.key": tls.key, "ca/ca.crt": tls.ca}.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(path, self.folder / name)
        stated = ("--folder", str(self.folder), "--target", self.target, "--json", *arguments)
        stated += ("--state", str(self.folder / "witness.json"))
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", WATCH, *stated, stdout=pipe, stderr=pipe, cwd=ROOT, env=environment()
        )

    async def audited(self, *arguments: str) -> tuple[int | None, list[Any], str]:
        """One look of `accord audit watch`: exit status, its lines, what it said beside."""
        process = await self.audit_watch("--once", *arguments)
        out, said = await process.communicate()
        assert out, said.decode()
        return process.returncode, [json.loads(line) for line in out.splitlines()], said.decode()


@dataclass(frozen=True, slots=True)
class RegistryWitness:
    """What the registry's process has of its witness."""

    database: Database
    leases: Leases
    commits: Commits

    @property
    def kept(self) -> dict[str, str]:
        """The checkpoints in its table."""
        with self.database.read() as connection:
            return store.checkpoints(connection)

    async def problems(self) -> Sequence[str]:
        """What its health says."""
        return await health.problems(self.commits, self.leases)


@asynccontextmanager
async def witnessed(folder: Path) -> AsyncIterator[Witnessed]:
    """A ledger with a few entries, shown under the chart's own access policy."""
    (folder / "ledger").mkdir()
    site, shown = Site(folder, "accord.example"), Shown(folder / "ledger")  # type: ignore[abstract]
    endpoint = Endpoint(AUDIT, partial(pb_grpc.add_AuditServiceServicer_to_server, shown))
    policy = folder / "access.yaml"
    policy.write_text(yaml.safe_dump(_policy(endpoint.methods)))
    settings = ServerSettings("127.0.0.1:0", "127.0.0.1:0", site.files("/consent"), policy, notice_s=0.0, drain_s=1.0)
    process = Process("consent", settings, [endpoint], _well, Telemetry(), SystemClock())
    await process.start()
    async with AsyncExitStack() as closing:
        closing.push_async_callback(process.drain)
        await shown.grow(2)
        yield Witnessed(folder, site, shown, f"127.0.0.1:{process.rpc_port}")
        await shown.bench.close()


def _policy(methods: Sequence[str]) -> dict[str, Any]:
    """What the chart's policy says of these methods."""
    chart = yaml.safe_load(ACCESS.read_text())
    section = {method: chart["servers"]["consent"][method] for method in methods}
    used = {role for roles in section.values() for role in roles}
    roles = {role: patterns for role, patterns in chart["roles"].items() if role in used}
    return {"version": 1, "roles": roles, "servers": {"consent": section}}


async def _well() -> Sequence[str]:
    return ()
