"""Kills a writing ledger again and again: nothing that it acknowledged may be lost, and its log must still be one log.

    python -m tests.durability.kills --kills 1000

Each turn forks a writer on the same database, waits for some acknowledgements, kills it with SIGKILL at a moment drawn at
random, and then reads the database as the next process would: the head verifies, and each acknowledged entry is where it was
said to be. At the end every entry is hashed again. Ends with code 1 when anything was lost.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from sqlalchemy import select

from services.chassis.db import Database
from services.consent.locked import HEAD
from services.consent.shard import ENTRY
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.tree import leaf_hash, merkle_root
from tests.durability.writer import write
from tests.support.ledgers import PUBLIC_KEY

LONGEST_S = 0.06
"""A writer lives at most this long after its first acknowledgement."""


@dataclass
class Tally:
    """What was seen: writers killed, entries acknowledged, those that were lost."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0


def kill_one(folder: Path, chance: random.Random) -> list[tuple[int, str]]:
    """Forks a writer, kills it, and answers what it had acknowledged: indices and leaf hashes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        os.close(reading)
        try:
            asyncio.run(write(folder))
        finally:
            os._exit(3)  # a writer never ends by itself
    os.close(writing)
    first = os.read(reading, 65_536)
    time.sleep(chance.uniform(0, LONGEST_S))
    os.kill(child, signal.SIGKILL)
    said = first + b"".join(iter(lambda: os.read(reading, 65_536), b""))
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the writer ended before it was killed")
    # A line is one system call, and shorter than a pipe's atomic size: it is whole, or not there.
    return [(int(index), leaf) for index, leaf in (line.split(" ") for line in said.decode().splitlines())]


def missing(folder: Path, acknowledged: list[tuple[int, str]]) -> int:
    """How many acknowledged entries are not where they were said to be."""
    database = Database(f"sqlite:///{folder / 'ledger.db'}")
    with database.read() as connection:
        first = min((index for index, _ in acknowledged), default=0)
        rows = connection.execute(select(ENTRY.c.idx, ENTRY.c.data).where(ENTRY.c.idx >= first))
        found = {(row.idx, leaf_hash(row.data).hex()) for row in rows}
    database.close()
    return len(set(acknowledged) - found)


def whole(folder: Path) -> bool:
    """Whether the stored entries are exactly those that the signed head commits to."""
    database = Database(f"sqlite:///{folder / 'ledger.db'}")
    with database.read() as connection:
        head = connection.execute(select(HEAD)).one()
        leaves = [leaf_hash(data) for data in connection.execute(select(ENTRY.c.data).order_by(ENTRY.c.idx)).scalars()]
    database.close()
    checkpoint = open_checkpoint(head.note, Verifier(head.origin, PUBLIC_KEY))
    return (checkpoint.size, checkpoint.root) == (len(leaves), merkle_root(leaves)) == (head.size, head.root)


def kill_many(folder: Path, kills: int, seed: int, *, quiet: bool = False) -> Tally:
    """Kills so many writers, and counts."""
    chance, tally = random.Random(seed), Tally()
    turns = range(kills) if quiet else track(range(kills), "writers killed", console=Console(stderr=True))
    for _ in turns:
        acknowledged = kill_one(folder, chance)
        tally.kills += 1
        tally.acknowledged += len(acknowledged)
        tally.lost += missing(folder, acknowledged)
    return tally


def main() -> None:
    """Kills, and says what was seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.durability.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="how many writers to kill")
    parser.add_argument("--seed", type=int, default=1, help="where the moments are drawn from")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = kill_many(Path(folder), flags.kills, flags.seed)
        one_log = whole(Path(folder))
    print(
        f"{tally.kills} writers killed, {tally.acknowledged} entries acknowledged, {tally.lost} lost, one log: {one_log}"
    )
    sys.exit(0 if one_log and not tally.lost else 1)


if __name__ == "__main__":
    main()
