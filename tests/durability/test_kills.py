"""A short run of what `make kills` does a thousand times, in a process of its own: forking needs one without threads."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.durability.kills import kill_many, missing

KILLS = 12


def test_nothing_acknowledged_is_lost_when_a_writing_ledger_is_killed() -> None:
    command = [sys.executable, "-m", "tests.durability.kills", "--kills", str(KILLS)]
    path = os.pathsep.join((".", "services/gen"))
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    match = re.search(r"(\d+) writers killed, (\d+) entries acknowledged, 0 lost, one log: True", done.stdout)
    assert match is not None, done.stdout
    assert int(match[1]) == KILLS
    assert int(match[2]) >= KILLS


def test_an_entry_that_is_not_where_it_was_said_to_be_is_missed(tmp_path: Path) -> None:
    """What the test above rests on."""
    tally = kill_many(tmp_path, 1, 7, quiet=True)
    assert tally.lost == 0
    assert missing(tmp_path, [(0, "0" * 64), (10**6, "1" * 64)]) == 2
