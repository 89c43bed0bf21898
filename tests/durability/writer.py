"""A process that writes to a ledger without end, and says of each entry where it stands once it was acknowledged.

    python -m tests.durability.writer FOLDER [COUNT]

Each line on its standard output is `INDEX LEAF`: one acknowledged entry, written with one system call.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from services.consent.domain import commands as c
from services.errors import Reason
from tests.support.ledgers import SENDER, Bench, build, query

TASKS = 16


async def write(folder: Path, count: int | None = None) -> None:
    """Authorises and refuses exchanges, some at once, until killed or until `count` were acknowledged."""
    bench = build(folder)
    address = await bench.consenting(1)
    turns: Iterator[int] = iter(range(count)) if count is not None else itertools.count()
    await asyncio.gather(*(_task(bench, address, turns) for _ in range(TASKS)))
    await bench.close()


async def _task(bench: Bench, address: c.Address, turns: Iterator[int]) -> None:
    for turn in turns:
        if turn % 3:
            appended = (await bench.ledger.authorize(_question(bench, address))).appended
        else:
            refusal = c.RecordRefusal(SENDER, address, os.urandom(32).hex(), Reason.DOCUMENT_MALFORMED)
            appended = await bench.ledger.do(refusal)
        os.write(1, f"{appended.index} {appended.leaf.hex()}\n".encode())


def _question(bench: Bench, address: c.Address) -> c.Authorize:
    return c.Authorize(query(address), os.urandom(32).hex(), (), "t" * 43)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
