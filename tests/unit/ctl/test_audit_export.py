"""An export: whole or not there, the same in however many goes, and what it says it is."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.consent.domain import commands as c
from services.ctl.audit.access import BrokenError
from services.ctl.audit.exporting import ExportError
from services.errors import AccordError, Reason
from services.formats.canonical import loads_canonical
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.tiles import check_export
from tests.support.auditing import Auditing, LocalStub
from tests.support.exports import erase, export, lived, offline, rewrite
from tests.support.ledgers import PUBLIC_KEY, SENDER, Bench, build, ins


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = build(tmp_path, shards=2)
    yield made
    await made.close()


@pytest.fixture
async def folder(bench: Bench, tmp_path: Path) -> Path:
    """The folder of an export that a test makes."""
    return tmp_path / "export"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def written(folder: Path) -> dict[Path, int]:
    """When each complete tile was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("000")}


class Failing(LocalStub):
    """A ledger whose export breaks off after so many parts."""

    def __init__(self, rpcs: Any, parts: int) -> None:
        super().__init__(rpcs)
        self._parts = parts

    async def ExportEntries(self, request: Any) -> Any:  # noqa: N802
        async for part in super().ExportEntries(request):
            if not self._parts:
                raise AccordError(Reason.LEDGER_UNAVAILABLE)
            self._parts -= 1
            yield part


async def fill(bench: Bench, count: int) -> None:
    """So many entries more in each shard."""
    for _ in range(count):
        for shard in range(2):
            await bench.ledger.do(c.RecordRead(shard, "test", {}))


async def test_its_files_are_those_of_the_layout_and_each_log_is_its_checkpoint_s(bench: Bench, folder: Path) -> None:
    await lived(bench)
    await export(bench, folder, opened=True)
    assert loads_canonical((folder / "export.json").read_bytes(), 1000) == {
        "format": "accord-export/v1",
        "logs": [log.origin for log in bench.logs],
    }
    for number, log in enumerate(bench.logs):
        path = folder / str(number)
        checkpoint = open_checkpoint((path / "checkpoint").read_text(), Verifier(log.origin, PUBLIC_KEY))
        check_export(checkpoint.size, checkpoint.root, lambda name, path=path: (path / name).read_bytes())  # type: ignore[misc]
        lines = (path / "entries.ndjson").read_bytes().splitlines()
        assert lines == [entry.to_bytes() for entry in bench.entries(number)][: checkpoint.size]
        opened = [loads_canonical(line, 1 << 20) for line in (path / "openings.ndjson").read_bytes().splitlines()]
        assert [item["index"] for item in opened] == list(range(checkpoint.size))
        assert {"index", "salt", "body"} <= set(opened[0]) <= {"index", "salt", "body", "facts", "facts_salt"}
        for line in (path / "records.ndjson").read_bytes().splitlines():
            loads_canonical(line, 1 << 18)
    assert names(folder) == {"export.json", "0", "1"}
    assert not any(name.startswith(".") for name in names(folder.parent))


@pytest.mark.parametrize("opened", [False, True])
async def test_an_export_in_several_goes_is_that_of_one(bench: Bench, folder: Path, opened: bool) -> None:
    first = 0
    for count in (3, 150, 200, 0):
        await fill(bench, count)
        logs = await export(bench, folder, opened=opened)
        assert logs[0].since == first
        first = logs[0].checkpoint.size
        assert offline("fsck", folder)["holds"]
    again = folder.with_name("again")
    sizes = [log.checkpoint.size for log in logs]
    await export(bench, again, opened=opened)
    for number, size in enumerate(sizes):
        whole, one = files(again / str(number)), files(folder / str(number))
        assert one["entries.ndjson"].splitlines() == whole["entries.ndjson"].splitlines()[:size]
        assert all(one[name] == whole[name] for name in one.keys() & whole.keys() if name.startswith("tile/"))
    assert ".new" not in names(folder)


async def test_an_export_without_openings_asks_only_for_what_is_new(bench: Bench, folder: Path) -> None:
    await fill(bench, 300)
    await export(bench, folder)
    before = written(folder)
    await fill(bench, 5)
    auditing, asked = Auditing(bench), []

    class Watched(LocalStub):
        def ExportEntries(self, request: Any) -> Any:  # noqa: N802
            asked.append(request.start_index)
            return super().ExportEntries(request)

    await export(bench, folder, stub=Watched(auditing.rpcs))
    await auditing.close()
    assert asked == [256, 256]
    assert written(folder) == before
    assert offline("fsck", folder)["holds"]


async def test_what_was_erased_leaves_the_next_export_too(bench: Bench, folder: Path) -> None:
    address = await bench.consenting(1)
    await export(bench, folder, opened=True)
    path = folder / str(address.shard) / "openings.ndjson"
    before = len(path.read_bytes().splitlines())
    await erase(bench, address)
    await export(bench, folder, opened=True)
    assert len(path.read_bytes().splitlines()) < before
    assert offline("replay", folder)["holds"]


@pytest.mark.parametrize("parts", [0, 1, 2, 3])
async def test_a_failure_leaves_what_there_was(bench: Bench, folder: Path, parts: int) -> None:
    await fill(bench, 3)
    auditing = Auditing(bench)
    with pytest.raises((AccordError, BrokenError)):
        await export(bench, folder, opened=True, stub=Failing(auditing.rpcs, parts))
    assert not names(folder)
    await export(bench, folder, opened=True)
    before = files(folder)
    await fill(bench, 3)
    with pytest.raises((AccordError, BrokenError)):
        await export(bench, folder, opened=True, stub=Failing(auditing.rpcs, parts))
    assert files(folder) == before
    await auditing.close()


async def test_a_line_too_many_left_by_a_crash_counts_for_nothing(bench: Bench, folder: Path) -> None:
    await fill(bench, 3)
    await export(bench, folder)
    with (folder / "0" / "entries.ndjson").open("ab") as file:
        file.write(b"{}\n")
    assert not offline("fsck", folder, code=1)["holds"]
    await fill(bench, 3)
    await export(bench, folder)
    assert offline("fsck", folder)["holds"]


async def test_a_log_that_does_not_continue_what_was_exported_is_refused(bench: Bench, folder: Path) -> None:
    await fill(bench, 10)
    await export(bench, folder)
    lines = (folder / "0" / "entries.ndjson").read_bytes().splitlines()
    rewrite(folder, lines[::-1])
    with pytest.raises(BrokenError, match="rollback"):
        await export(bench, folder)
    rewrite(folder, lines * 10)
    with pytest.raises(BrokenError, match="are left"):
        await export(bench, folder)


async def test_a_folder_of_something_else_is_kept(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine").write_text("mine")
    with pytest.raises(ExportError, match="not an export"):
        await export(bench, folder)
    (folder / "mine").unlink()
    await export(bench, folder, opened=True)
    with pytest.raises(ExportError, match="holds openings"):
        await export(bench, folder)
    (folder / "export.json").write_text(
        json.dumps({"format": "accord-export/v1", "logs": ["another"]}, separators=(",", ":"))
    )
    with pytest.raises(ExportError, match="other logs"):
        await export(bench, folder, opened=True)


async def test_a_ledger_whose_entries_are_not_its_checkpoint_s_is_not_exported(bench: Bench, folder: Path) -> None:
    await fill(bench, 5)
    auditing = Auditing(bench)

    class Lying(LocalStub):
        async def ExportEntries(self, request: Any) -> Any:  # noqa: N802
            async for part in super().ExportEntries(request):
                if part.items:
                    part.items[0].entry = part.items[0].entry.replace(b"a", b"b", 1)
                yield part

    with pytest.raises(BrokenError, match="root"):
        await export(bench, folder, stub=Lying(auditing.rpcs))
    assert not names(folder)
    await auditing.close()


async def test_patients_are_told_apart_in_no_file_but_by_subject(bench: Bench, folder: Path) -> None:
    await bench.consenting(7)
    await bench.grant(await bench.consenting(8), SENDER)
    await export(bench, folder, opened=True)
    content = b"".join(files(folder).values())
    assert ins(7).matricule.encode() not in content
    assert ins(8).matricule.encode() not in content
