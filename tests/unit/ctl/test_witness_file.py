"""A witness's memory in a file: whole, durable, used by one process, and never without what contradicted it."""

import asyncio
from pathlib import Path

import pytest

from services.chassis.witness import Contradiction
from services.ctl.witness_file import FORMAT, WitnessFileError, held
from services.errors import AccordError, Reason
from services.formats.canonical import loads

A, B = "accord.example/ledger/1/0", "accord.example/ledger/1/1"
FOUND = Contradiction(A, "two checkpoints are not of one log", f"{A}\n5\n", f"{A}\n6\n")


def kept(path: Path) -> dict[str, str]:
    with held(path) as memory:
        return asyncio.run(memory.checkpoints())


def test_what_was_kept_is_there_in_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "witness.json"
    assert kept(path) == {}
    with held(path) as memory:
        for origin, size in ((B, 1), (A, 2), (B, 3)):
            asyncio.run(memory.keep(origin, f"{origin}\n{size}\n"))
    assert kept(path) == {A: f"{A}\n2\n", B: f"{B}\n3\n"}
    assert loads(path.read_bytes()) == {"format": FORMAT, "checkpoints": [f"{A}\n2\n", f"{B}\n3\n"]}


def test_a_crash_while_writing_leaves_what_was_kept_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "witness.json"
    with held(path) as memory:
        asyncio.run(memory.keep(A, f"{A}\n2\n"))

        def crash(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("services.ctl.witness_file.os.fsync", crash)
        with pytest.raises(AccordError) as caught:
            asyncio.run(memory.keep(A, f"{A}\n3\n"))
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
        assert asyncio.run(memory.checkpoints()) == {A: f"{A}\n2\n"}
    assert kept(path) == {A: f"{A}\n2\n"}


def test_a_second_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    path = tmp_path / "witness.json"
    with held(path), pytest.raises(WitnessFileError, match="another process"):
        kept(path)
    assert kept(path) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"checkpoints":[],"format":"accord-trust/v1"}',
        b'{"checkpoints":[1],"format":"accord-witness/v1"}',
        b'{"checkpoints":[],"format":"accord-witness/v1","more":1}',
    ],
)
def test_a_file_of_another_form_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "witness.json"
    path.write_bytes(content)
    with pytest.raises(WitnessFileError, match=r"witness\.json"):
        kept(path)
    assert path.read_bytes() == content


def test_the_first_contradiction_stays_for_later_lives(tmp_path: Path) -> None:
    path = tmp_path / "witness.json"
    with held(path) as memory:
        assert memory.earlier_contradiction() is None
        memory.keep_contradiction(FOUND, 1_795_443_328_123)
        memory.keep_contradiction(Contradiction(B, "the log is gone", f"{B}\n1\n", ""), 1_795_443_328_124)
    with held(path) as memory:
        assert memory.earlier_contradiction() == FOUND
    assert loads((tmp_path / "witness.json.contradiction").read_bytes())["time"] == "2026-11-23T14:15:28.123Z"


def test_a_contradiction_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "witness.json.contradiction").write_text("{}")
    with held(tmp_path / "witness.json") as memory, pytest.raises(WitnessFileError, match="contradiction"):
        memory.earlier_contradiction()


def test_a_cosigned_checkpoint_lies_under_its_origin_whatever_that_is(tmp_path: Path) -> None:
    with held(tmp_path / "witness.json") as memory:
        for origin in (A, "../../evil"):
            memory.keep_cosigned(origin, "note")
    names = {path.name for path in (tmp_path / "witness.json.cosigned").iterdir()}
    assert names == {"accord.example%2Fledger%2F1%2F0", "..%2F..%2Fevil"}
