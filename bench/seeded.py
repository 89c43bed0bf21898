"""The folder of a seeded ledger: what seeding leaves there, and how a run begins from it.

Guarantees that a folder counts as seeded only when its seeding ended, with the same parameters and tables; and that the
measured processes get copies of the databases, so all runs start from one state. Leaves the seeding itself to `seed`.
"""

import hashlib
import json
import os
import shutil
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from services.chassis.keys import derive, load_ed25519, load_secret
from services.consent.tables import metadata
from services.consent.vault import Vault
from services.ctl import keys
from services.ctl.stack import Stack
from services.tlog.note import NoteSigner

FORMAT = 6
"""Changes when what is seeded, or what is recorded of it, changes."""
KEPT = ("consent", "registry")
Mark = tuple[int, float]
"""How many entries the log held, and the seconds since seeding began."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A seeded patient: the sender's pseudonym, the test identity, the profile, and the consent given to the sender."""

    pseudonym: str
    matricule: str
    profile: str
    consent: str

    @property
    def line(self) -> str:
        """The patient as a line of patients.txt."""
        return " ".join(astuple(self)) + "\n"


def is_seeded(folder: Path, patients: int) -> bool:
    """Whether a folder holds a ledger seeded with these parameters, complete."""
    marker, kept = folder / "seed.json", (folder / f"seeded-{name}.db" for name in KEPT)
    if not all(file.exists() for file in (marker, *kept)):
        return False
    return bool(json.loads(marker.read_text())["parameters"] == _parameters(patients))


def mark_seeded(folder: Path, patients: int, marks: Sequence[Mark]) -> None:
    """Says that the ledger is complete, and how it grew: a mark after each transaction."""
    seconds = marks[-1][1]
    marker = {
        "parameters": _parameters(patients),
        "seconds": round(seconds, 1),
        "patients_a_second": round(patients / seconds),
        "appended": [(entries, round(at, 4)) for entries, at in marks],
    }
    (folder / "seed.json").write_text(json.dumps(marker))


def load_marks(folder: Path) -> list[Mark]:
    """How the ledger of a seeded folder grew, as it was recorded when it was seeded; begins with no entries."""
    return [(entries, at) for entries, at in json.loads((folder / "seed.json").read_text())["appended"]]


def seconds_between(marks: Sequence[Mark], first: int, end: int) -> float:
    """How long the entries from `first` until before `end` took to append; within a transaction, in proportion.

    Raises: ValueError beyond the last mark.
    """
    return _seconds_until(marks, end) - _seconds_until(marks, first)


def _seconds_until(marks: Sequence[Mark], entries: int) -> float:
    place = bisect_left(marks, entries, key=lambda mark: mark[0])
    if place == len(marks):
        raise ValueError(f"the ledger never held {entries} entries")
    after, until = marks[place]
    if after == entries:
        return until
    before, since = marks[place - 1]
    return since + (until - since) * (entries - before) / (after - before)


def load_patients(folder: Path) -> list[Patient]:
    """The patients of a seeded folder."""
    lines = (folder / "patients.txt").read_text().splitlines()
    return [Patient(*line.split(" ")) for line in lines]


def restore(stack: Stack) -> None:
    """Gives the stack's registry and consent process, neither running, fresh copies of the seeded databases.

    Both: a registry that has witnessed a longer log would take the seeded one for a ledger rolled back.
    """
    data = stack.folder / "data"
    for name in KEPT:
        for left in data.glob(f"{name}.db*"):
            left.unlink()
        shutil.copyfile(stack.folder / f"seeded-{name}.db", data / f"{name}.db")
    os.sync()  # what is still to be written back would be paid by the first commits measured


def log_signer(stack: Stack) -> NoteSigner:
    """The key of the stack's one log; its name is the log's origin."""
    key = load_ed25519(stack.folder / "keys" / keys.LOG)
    return NoteSigner(f"{stack.trust_domain}/ledger/1/0", key.sign, key.public_key().public_bytes_raw())


def vault(stack: Stack) -> Vault:
    """What seals the bodies of the stack's entries."""
    return Vault(partial(derive, load_secret(stack.folder / "keys" / keys.MASTER)), os.urandom)


def _parameters(patients: int) -> dict[str, object]:
    tables = "".join(str(CreateTable(table).compile(dialect=sqlite.dialect())) for table in metadata.sorted_tables)
    return {"format": FORMAT, "patients": patients, "tables": hashlib.sha256(tables.encode()).hexdigest()}
