"""Writing an export: streamed, checked against the signed checkpoint as it is written, and visible only when it is whole.

Guarantees that a failure leaves what there was; that what there was is a prefix of what replaces it, by the log's own
consistency proof (RFC 9162 §2.1.4); and that a log's checkpoint becomes visible last. An export without openings goes on
where the one before ended. One with openings reads every opening again, so that what was erased since leaves it too.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accord.consent.v1 import audit_service_pb2 as pb
from accord.consent.v1 import audit_service_pb2_grpc as pb_grpc
from rich.progress import Progress

from services.ctl.audit.access import CALL_S, BrokenError
from services.ctl.audit.book import signed
from services.ctl.audit.folder import CHECKPOINT, INDEX, OPENINGS, LogFolder, index_bytes, open_export
from services.ctl.audit.writing import LogWriter
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.proof import ProofError, verify_consistency
from services.tlog.tiles import TileError

_STAGE = ".new"


class ExportError(ValueError):
    """The folder cannot take this export; the message says why."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds of one log, and how much of that is new."""

    checkpoint: Checkpoint
    since: int
    openings: int
    records: int


@dataclass(frozen=True, slots=True)
class Exporter:
    """Exports of one ledger into one folder."""

    stub: "pb_grpc.AuditServiceAsyncStub"
    trust: Trust
    folder: Path
    opened: bool
    progress: Progress

    async def run(self) -> list[Exported]:
        """Exports every log. Raises: BrokenError, ExportError, grpc's AioRpcError, OSError."""
        answer = await self.stub.GetCheckpoints(pb.GetCheckpointsRequest(), timeout=CALL_S)
        origins = [note.partition("\n")[0] for note in answer.checkpoints]
        before = _known(self.folder, origins, opened=self.opened)
        with _staging(self.folder, fresh=not before) as stage:
            (stage / INDEX).write_bytes(index_bytes(origins))
            logs = []
            for number, origin in enumerate(origins):
                known = before[number] if before else None
                logs.append(await self._export(origin, known, stage / str(number)))
            _publish(stage, self.folder)
        return logs

    async def _export(self, origin: str, known: LogFolder | None, stage: Path) -> Exported:
        old = signed(known, self.trust) if known else None
        since = old.size if old else 0
        with LogWriter(stage, since, known, opened=self.opened) as writer:
            request = pb.ExportEntriesRequest(origin=origin, start_index=writer.next, open=self.opened)
            parts = self.stub.ExportEntries(request)
            try:
                note = (await anext(aiter(parts), pb.ExportEntriesResponse())).checkpoint
                new = self._checkpoint(origin, note)
                await self._continues(old, new)
                await self._write(parts, writer, new)
                writer.finish(new, note)
            except (TileError, ProofError) as error:
                raise BrokenError("root", str(error), origin) from None
            return Exported(new, since, writer.openings, writer.records)

    async def _write(self, parts: Any, writer: LogWriter, new: Checkpoint) -> None:
        task = self.progress.add_task(new.origin, total=new.size, completed=writer.next)
        async for part in parts:
            if part.items and part.first_index != writer.next:
                raise BrokenError("entries", "the ledger left some out", new.origin, writer.next)
            writer.add(part.items)
            writer.keep(part.records)
            self.progress.advance(task, len(part.items))

    def _checkpoint(self, origin: str, note: str) -> Checkpoint:
        verifier = self.trust.log(origin)
        if verifier is None:
            raise BrokenError("checkpoint", "TRUST does not list this log", origin)
        try:
            return open_checkpoint(note, verifier)
        except NoteError as error:
            raise BrokenError("checkpoint", str(error), origin) from None

    async def _continues(self, old: Checkpoint | None, new: Checkpoint) -> None:
        """Raises: BrokenError unless the log is a continuation of what was exported before."""
        if old is None or old.size == 0:
            return
        if new.size < old.size:
            raise BrokenError("rollback", f"{old.size} entries were exported before, {new.size} are left", new.origin)
        request = pb.GetConsistencyProofRequest(origin=new.origin, old_size=old.size, new_size=new.size)
        hashes = list((await self.stub.GetConsistencyProof(request, timeout=CALL_S)).hashes)
        try:
            verify_consistency(old.size, old.root, new.size, new.root, hashes)
        except ProofError as error:
            raise BrokenError(
                "rollback", f"not a continuation of what was exported before: {error}", new.origin
            ) from None


def _known(folder: Path, origins: list[str], *, opened: bool) -> list[LogFolder]:
    """The export that is there already, if any. Raises: ExportError where this one cannot continue it."""
    if not folder.exists() or not any(path for path in folder.iterdir() if path.name != _STAGE):
        return []
    if not (folder / INDEX).is_file():
        raise ExportError(f"{folder} is not an export; name another folder")
    known = open_export(folder)
    if [log.origin for log in known] != origins:
        raise ExportError(f"{folder} holds an export of other logs; name another folder")
    if not opened and any((log.path / OPENINGS).exists() for log in known):
        raise ExportError(f"{folder} holds openings; export with --open, or name another folder")
    return known


@contextmanager
def _staging(folder: Path, *, fresh: bool) -> Iterator[Path]:
    """An empty folder to write to, on the same file system, for this process alone; gone in the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"another export into {folder} is under way") from None
        stage = folder.with_name(f".{folder.name}{_STAGE}") if fresh else folder / _STAGE
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _publish(stage: Path, folder: Path) -> None:
    """Makes what was staged visible: a new folder at once; in one that is there, each log's checkpoint last."""
    if not folder.exists() or not any(folder.iterdir()):
        stage.replace(folder)
        return
    # Tiles first, then lines, then what says how many of them count: a crash between leaves lines that do not count yet.
    for path in sorted(stage.rglob("*"), key=lambda item: (item.name == CHECKPOINT, "tile" not in item.parts)):
        if path.is_file():
            target = folder / path.relative_to(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
