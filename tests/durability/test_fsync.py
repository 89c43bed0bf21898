"""The operating system's own account: before each answer leaves the ledger, what it answers was forced to disk."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ANSWERS = 24
_BEGUN = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*?)(?P<end>\) += .*| <unfinished \.\.\.>)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. \w+ resumed>")


@dataclass(frozen=True)
class Event:
    """A system call that began, or ended (`done`)."""

    done: bool
    name: str
    arguments: str


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: .ci/run installs it")
def test_every_answer_follows_an_fsync_of_what_was_written_before_it(tmp_path: Path) -> None:
    events = traced(tmp_path)
    answers = [position for position, event in enumerate(events) if not event.done and is_answer(event)]
    assert len(answers) == ANSWERS
    for position in answers:
        written = last(events[:position], False, "pwrite64", "write")
        synced = last(events[:position], True, "fdatasync", "fsync")
        assert 0 <= written < synced


def traced(folder: Path) -> list[Event]:
    """What a writer of ANSWERS entries asked of the system, in order; files stand by their paths."""
    trace = folder / "trace.txt"
    watched = "trace=write,pwrite64,fsync,fdatasync"
    command = ["strace", "-f", "-y", "-s", "96", "-e", watched, "-o", str(trace), sys.executable]
    command += ["-m", "tests.durability.writer", str(folder), str(ANSWERS)]
    path = os.pathsep.join((".", "services/gen"))
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path}, capture_output=True)
    return events_of(trace.read_text(errors="replace").splitlines())


def events_of(lines: list[str]) -> list[Event]:
    """The beginnings and ends that these lines of a trace tell."""
    events: list[Event] = []
    under_way: dict[str, Event] = {}
    for line in lines:
        begun, resumed = _BEGUN.match(line), _RESUMED.match(line)
        if begun:
            events.append(Event(False, begun["name"], begun["arguments"]))
            under_way[begun["pid"]] = Event(True, begun["name"], begun["arguments"])
        if resumed or (begun and begun["end"].startswith(")")):
            events.append(under_way.pop((begun or resumed)["pid"]))  # type: ignore[index]
    return events


def is_answer(event: Event) -> bool:
    """Whether this call says that an entry was acknowledged."""
    return event.name == "write" and re.match(r'1<[^>]*>, "\d+ [0-9a-f]{64}', event.arguments) is not None


def last(events: list[Event], done: bool, *names: str) -> int:
    """The position of the last such event on the database's log; -1 for none."""
    of_log = (e.done is done and e.name in names and "ledger.db-wal>" in e.arguments for e in events)
    return max((position for position, found in enumerate(of_log) if found), default=-1)
