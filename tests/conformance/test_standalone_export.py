"""The standalone verifier of examples/verifier finds every changed byte of a log export, and every broken promise in it.

The exports are written here: entries by `formats.entry`, tiles by `tlog.tiles`, checkpoints signed over whatever they hold,
so that what is wrong is wrong though the log vouches for it.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.verifier import verify as standalone
from services.formats.canonical import dumps
from services.formats.entry import LIVE, Entry, EntryType, Pin, commitment, sha256_hex
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import sign_note
from services.tlog.tiles import export
from services.tlog.tree import leaf_hash, merkle_root
from tests.support.evidence import DOMAIN, NOW_MS, RECIPIENT, SENDER, SmallLog
from tests.support.exports import export as audit_export
from tests.support.exports import lived
from tests.support.ledgers import build

LOG = SmallLog()
LOG_TRUST = Trust(DOMAIN, (LOG.signer.verifier,), ()).to_bytes()
FIRST, SECOND = (f"consents/{digit * 32}/revisions/" for digit in "ab")
AUTHORIZED = EntryType.EXCHANGE_AUTHORIZED


def entry(type_: EntryType, minute: int, *resources: str, **more: Any) -> Entry:
    """An entry of the sender's at this minute, without a commitment yet; an exchange has no other side unless it says so."""
    more = {"service": SENDER, "subject": sha256_hex("patient")} | more
    if type_ is AUTHORIZED:
        more = {"until_ms": NOW_MS + minute * 60_000 + 5000, "basis": "consent"} | more
        more |= {"exchange": sha256_hex(f"manifest {minute}"), "attempt": 1}
    time_ms, pin = NOW_MS + minute * 60_000, Pin(0, sha256_hex(""))
    return Entry(type_, time_ms, 0, pin, "", "holder", resources=resources, **more)


def write_export(folder: Path, entries: list[Entry], log: SmallLog = LOG, number: int = 0) -> None:
    """An export of a log of these entries, each of which commits to a body of its own that an opening discloses."""
    sealed, openings = [], []
    for index, each in enumerate(entries):
        salts, facts = [sha256_hex(f"{kind} {index}") for kind in ("salt", "facts salt")], {"known": index}
        body = {"facts": sha256_hex(bytes.fromhex(salts[1]) + dumps(facts)), "note": "é"}
        sealed.append(replace(each, commit=commitment(bytes.fromhex(salts[0]), dumps(body))).to_bytes())
        more = {"facts": facts, "facts_salt": salts[1]} if each.type is AUTHORIZED else {}
        openings.append(dumps({"body": body, "index": index, "salt": salts[0]} | more) + b"\n")
    write_log(folder / str(number), sealed, log)
    (folder / str(number) / "openings.ndjson").write_bytes(b"".join(openings))
    (folder / "export.json").write_bytes(dumps({"format": "accord-export/v1", "logs": [log.signer.name]}))


def write_log(folder: Path, entries: list[bytes], log: SmallLog = LOG) -> None:
    """The tiles of these entries, and the checkpoint that the log signs over them, whatever they are."""
    root = merkle_root([leaf_hash(item) for item in entries])
    for name, data in export(entries, len(entries), root):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "entries.ndjson").write_bytes(b"".join(item + b"\n" for item in entries))
    (folder / "checkpoint").write_text(sign_checkpoint(Checkpoint(log.signer.name, len(entries), root), log.signer))


def first_broken(folder: Path, trust: bytes = LOG_TRUST) -> tuple[int, str]:
    """The first step that does not hold in an export, and why; (0, "") when all do."""
    data, number = (folder / "export.json").read_bytes(), 0
    try:
        for _ in standalone.Verifier(trust).export(folder, data):
            number += 1
    except Exception as error:
        return number, str(error)
    return 0, ""


STORY = [
    entry(EntryType.CONSENT_GRANTED, 0, f"{FIRST}1", until_ms=NOW_MS + 10**9),
    entry(AUTHORIZED, 1, f"{FIRST}1"),
    entry(EntryType.CONSENT_AMENDED, 2, f"{FIRST}2", until_ms=NOW_MS + 10**9),
    entry(AUTHORIZED, 2, f"{FIRST}2"),
    entry(EntryType.CONSENT_REVOKED, 3, f"{FIRST}3"),
]


def test_a_genuine_export_holds_in_every_step(tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    (tmp_path / "0" / "records.ndjson").write_bytes(b"not for this verifier")
    (tmp_path / "trust.json").write_bytes(LOG_TRUST)
    command = [sys.executable, "-I", standalone.__file__, "export", ".", "--trust", "trust.json", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"], [step["ok"] for step in said["steps"]]) == (0, True, [True] * 6)


async def test_an_export_of_the_auditor_s_command_holds(tmp_path: Path) -> None:
    bench = build(tmp_path, shards=2)
    await lived(bench)
    await audit_export(bench, tmp_path / "export", opened=True)
    await bench.close()
    assert first_broken(tmp_path / "export", (tmp_path / "trust.json").read_bytes()) == (0, "")


def test_every_changed_byte_of_an_export_is_found(tmp_path: Path) -> None:
    write_export(tmp_path, STORY[:2])
    survivors = []
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        data = file.read_bytes()
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            file.write_bytes(changed)
            if first_broken(tmp_path) == (0, ""):
                survivors.append((file.name, position))
        file.write_bytes(data)
    assert survivors == []
    assert first_broken(tmp_path) == (0, "")


@pytest.mark.parametrize("size", [0, 1, 256, 257])
def test_an_export_may_have_any_size(size: int, tmp_path: Path) -> None:
    write_export(tmp_path, [entry(EntryType.REGISTRY_OBSERVED, 0)] * size)
    assert first_broken(tmp_path) == (0, "")


def test_tiles_of_every_level_are_verified(tmp_path: Path) -> None:
    entries = [index.to_bytes(4) for index in range(65_537)]
    write_log(tmp_path, entries)
    assert standalone._tiled(tmp_path, entries) == merkle_root([leaf_hash(item) for item in entries])
    for name in ("entries/000", "0/255", "0/256.p/1", "1/000", "2/000.p/1"):
        file = tmp_path / "tile" / name
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ValueError, match=f"^tile {name.partition('/')[0]}, "):
            standalone._tiled(tmp_path, entries)
        file.write_bytes(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"shard":0', b'"shard":1'),
        (b'"v":1', b'"v":true'),
        (b'"v":1', b'"v":2'),
        (b'"v":1', b'"v":1.0'),
        (b'"v":1', b'"v":1,"w":0.5'),
        (b'"v":1', '"v":1,"é":1'.encode()),
        (b'"v":1', b'"v":1,"v":1'),
        (b'"v":1', b'"v":1,"w":9007199254740992'),
        (b'"v":1', b'"v":1,"w":"\\ud800"'),
        (b'"v":1', b'"v":1,"w":"\\u0061"'),
        (b'"v":1', b'"v":1 '),
        (b"T", b"t"),
        (b"T14:", b"T24:"),
        (b"-11-23T", b"-02-30T"),
        (b'"type":"consent.amended",', b""),
        (b"/revisions/2", b"/revisions/02"),
        (b'"until":"2', b'"until":"x'),
        (b'"hash":"', b'"hash":"0'),
    ],
)
def test_an_ill_formed_entry_is_named_though_the_log_signed_it(old: bytes, new: bytes, tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    entries = (tmp_path / "0" / "entries.ndjson").read_bytes().splitlines()
    assert old in entries[2]
    entries[2] = entries[2].replace(old, new, 1)
    write_log(tmp_path / "0", entries)
    number, why = first_broken(tmp_path)
    assert (number, why[:7]) == (3, "entry 2")


def test_time_that_goes_back_is_found(tmp_path: Path) -> None:
    write_export(tmp_path, [*STORY, STORY[0]])
    assert first_broken(tmp_path) == (3, "entry 5: older than the one before")


def test_other_signatures_of_a_checkpoint_are_ignored(tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "checkpoint"
    text, witness = file.read_text().rpartition("\n\n")[0] + "\n", SmallLog("witness.example").signer
    file.write_text(sign_note(text, witness, LOG.signer))
    assert first_broken(tmp_path) == (0, "")
    file.write_text(sign_note(text, witness))
    assert first_broken(tmp_path)[0] == 2


@pytest.mark.parametrize("size", ["05", "+5", "-5", "4", "6", "5\nmore", ""])
def test_a_checkpoint_that_says_something_else_is_found_though_signed(size: str, tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "checkpoint"
    text = file.read_text().rpartition("\n\n")[0] + "\n"
    file.write_text(sign_note(text.replace("\n5\n", f"\n{size}\n"), LOG.signer))
    assert first_broken(tmp_path)[0] in (2, 3)


def test_a_checkpoint_of_another_root_is_found_though_signed(tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    other = Checkpoint(LOG.signer.name, len(STORY), bytes(32))
    (tmp_path / "0" / "checkpoint").write_text(sign_checkpoint(other, LOG.signer))
    assert first_broken(tmp_path) == (4, "checkpoint: another root")


@pytest.mark.parametrize("text", ["witness.example AAAA", "— witness.example", "— a b c", ""])
def test_a_line_that_is_no_signature_is_refused(text: str, tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "checkpoint"
    file.write_text(f"{file.read_text()}{text}\n")
    assert first_broken(tmp_path)[0] == 2


@pytest.mark.parametrize("name", ["entries", "0"])
@pytest.mark.parametrize("change", [lambda data: data + b"\0", lambda data: data[:-1], lambda _: b""])
def test_a_tile_that_holds_more_or_less_is_found(name: str, change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "tile" / name / "000.p" / "5"
    file.write_bytes(change(file.read_bytes()))
    assert first_broken(tmp_path) == (4, f"tile {name}, 0: not what the entries make it")


@pytest.mark.parametrize("change", [lambda data: data + b"\n", lambda data: data[:-1], lambda _: b""])
def test_lines_that_are_not_one_for_each_entry_are_found(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "entries.ndjson"
    file.write_bytes(change(file.read_bytes()))
    assert first_broken(tmp_path) == (3, "entries.ndjson: not one line for each entry")


def test_a_log_s_folder_holds_that_log(tmp_path: Path) -> None:
    other = SmallLog(f"{DOMAIN}/ledger/1/1")
    trust = Trust(DOMAIN, (other.signer.verifier, LOG.signer.verifier), ()).to_bytes()
    write_export(tmp_path, STORY)
    (tmp_path / "export.json").write_bytes(dumps({"format": "accord-export/v1", "logs": [other.signer.name]}))
    assert first_broken(tmp_path, trust) == (2, "checkpoint: of another log, or of one not in TRUST")


def test_several_logs_stand_in_order_of_shard(tmp_path: Path) -> None:
    other = SmallLog(f"{DOMAIN}/ledger/1/1")
    trust = Trust(DOMAIN, (other.signer.verifier, LOG.signer.verifier), ()).to_bytes()
    write_export(tmp_path, [replace(each, shard=1) for each in STORY], other, number=1)
    write_export(tmp_path, STORY)
    for logs, broken in (([LOG, other], 0), ([other, LOG], 1), ([LOG, LOG], 1), ([], 1), ([LOG, SmallLog("z/2")], 1)):
        listed = [log.signer.name for log in logs]
        (tmp_path / "export.json").write_bytes(dumps({"format": "accord-export/v1", "logs": listed}))
        assert first_broken(tmp_path, trust)[0] == broken


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines, lines[0]],
        lambda lines: lines[::-1],
        lambda lines: [lines[0][:-1]],
        lambda lines: [lines[0].replace(b'"index":0', b'"index":9')],
        lambda lines: [lines[1].replace(b',"facts_salt":', b',"facts_s":')],
        lambda lines: [b'{"body":' + lines[1].partition(b',"facts":')[0][8:] + b"}\n"],
        lambda lines: [b"\n"],
    ],
    ids=["twice", "out of order", "cut short", "of no entry", "another member", "without index", "empty"],
)
def test_an_opening_that_opens_nothing_is_found(change: Callable[[list[bytes]], list[bytes]], tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "openings.ndjson"
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    assert first_broken(tmp_path)[0] == 5


def test_openings_may_be_erased_or_withheld(tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    file = tmp_path / "0" / "openings.ndjson"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[::2]))
    assert first_broken(tmp_path) == (0, "")
    file.unlink()
    assert first_broken(tmp_path) == (0, "")


@pytest.mark.parametrize("missing", ["checkpoint", "entries.ndjson", "tile/0/000.p/5", "tile/entries/000.p/5"])
def test_a_missing_file_is_named(missing: str, tmp_path: Path) -> None:
    write_export(tmp_path, STORY)
    (tmp_path / "0" / missing).unlink()
    number, why = first_broken(tmp_path)
    assert number > 1
    assert missing in why


REVOKED = entry(EntryType.CONSENT_REVOKED, 1, f"{FIRST}2")
GRANTED = entry(EntryType.CONSENT_GRANTED, 0, f"{FIRST}1", until_ms=NOW_MS + 100_000)
BROKEN_PROMISES = {
    "a revision without an end": [entry(EntryType.CONSENT_GRANTED, 0, f"{FIRST}1"), entry(AUTHORIZED, 1, f"{FIRST}1")],
    "a consent that was never given": [entry(AUTHORIZED, 1, f"{FIRST}1")],
    "a revision that was never made": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}2")],
    "another consent than the one given": [GRANTED, entry(AUTHORIZED, 1, f"{SECOND}1")],
    "nothing": [GRANTED, entry(AUTHORIZED, 1)],
    "one good consent and one bad": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}1", f"{SECOND}1", counterparty=RECIPIENT)],
    "one consent for two services": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}1", counterparty=RECIPIENT)],
    "two consents for one service": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}1", f"{FIRST}1")],
    "the sender's consent for the recipient": [
        GRANTED,
        entry(AUTHORIZED, 1, f"{FIRST}1", f"{FIRST}1", counterparty=RECIPIENT),
    ],
    "another service's consent": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}1", service=RECIPIENT)],
    "another patient's consent": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}1", subject=sha256_hex("another"))],
    "a revoked consent, by its last good revision": [GRANTED, REVOKED, entry(AUTHORIZED, 2, f"{FIRST}1")],
    "a revoked consent, by the revision that revoked it": [GRANTED, REVOKED, entry(AUTHORIZED, 2, f"{FIRST}2")],
    "a consent revoked in the same millisecond": [GRANTED, REVOKED, entry(AUTHORIZED, 1, f"{FIRST}1")],
    "a revoked consent that another entry revived": [
        GRANTED,
        REVOKED,
        entry(EntryType.CONSENT_RESUMED, 1, f"{FIRST}3"),
        entry(AUTHORIZED, 1, f"{FIRST}3"),
    ],
    "a revision that was amended": [
        GRANTED,
        entry(EntryType.CONSENT_AMENDED, 1, f"{FIRST}2"),
        entry(AUTHORIZED, 1, f"{FIRST}1"),
    ],
    "a consent that is over": [GRANTED, entry(AUTHORIZED, 2, f"{FIRST}1")],
    "a consent that is over before the permit": [GRANTED, entry(AUTHORIZED, 1, f"{FIRST}1", until_ms=NOW_MS + 100_001)],
    "a consent that is over within the permit's last second": [
        replace(GRANTED, until_ms=NOW_MS + 100_900),
        entry(AUTHORIZED, 1, f"{FIRST}1", until_ms=NOW_MS + 100_800),
    ],
    "a revision that was made twice, after one before it ended": [
        *STORY[::2][:2],
        entry(EntryType.CONSENT_SUSPENDED, 2, f"{FIRST}1"),
        entry(EntryType.CONSENT_RESUMED, 2, f"{FIRST}2"),
        entry(AUTHORIZED, 3, f"{FIRST}2"),
    ],
    "a revision that was made twice": [
        entry(EntryType.CONSENT_GRANTED, 0, f"{FIRST}2"),
        entry(EntryType.CONSENT_SUSPENDED, 0, f"{FIRST}3"),
        entry(EntryType.CONSENT_RESUMED, 0, f"{FIRST}2"),
        entry(AUTHORIZED, 1, f"{FIRST}2"),
    ],
} | {
    type_.value: [GRANTED, entry(type_, 1, f"{FIRST}2"), entry(AUTHORIZED, 1, f"{FIRST}2")]
    for type_ in EntryType
    if type_.startswith("consent.") and type_ not in LIVE
}


@pytest.mark.parametrize("entries", BROKEN_PROMISES.values(), ids=BROKEN_PROMISES.keys())
def test_an_authorisation_without_a_consent_that_lives_is_found(entries: list[Entry], tmp_path: Path) -> None:
    write_export(tmp_path, entries)
    number, why = first_broken(tmp_path)
    assert (number, why[:6]) == (6, "entry ")


def test_each_side_may_rest_on_a_consent_of_its_own(tmp_path: Path) -> None:
    theirs = replace(GRANTED, resources=(f"{SECOND}1",), service=RECIPIENT, subject=sha256_hex("patient, for them"))
    both = entry(AUTHORIZED, 1, f"{FIRST}1", f"{SECOND}1", counterparty=RECIPIENT)
    write_export(tmp_path, [GRANTED, theirs, both])
    assert first_broken(tmp_path) == (0, "")


def test_a_consent_that_was_suspended_and_resumed_carries_again(tmp_path: Path) -> None:
    suspended = entry(EntryType.CONSENT_SUSPENDED, 0, f"{FIRST}2")
    resumed = entry(EntryType.CONSENT_RESUMED, 1, f"{FIRST}3", until_ms=NOW_MS + 10**9)
    write_export(
        tmp_path, [GRANTED, suspended, resumed, entry(AUTHORIZED, 2, f"{FIRST}3"), entry(AUTHORIZED, 1000, f"{FIRST}3")]
    )
    assert first_broken(tmp_path) == (0, "")
