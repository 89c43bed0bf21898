"""The inbox: one folder for each exchange, which appears whole or not at all.

Guarantees that a bundle shows up under its exchange's id only by `keep`, after every document's size and SHA-256 were
checked and everything is on disk, and only once however often it is delivered. A crash leaves at worst a folder beginning
with a dot. All of it blocks: call it from a worker thread.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from examples.receiver.checks import Announced
from services.formats.canonical import FormatError


class Inbox:
    """The folder of received bundles."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def incoming(self, announced: Announced) -> "Incoming":
        """A place for the bundle that was announced; nothing is on disk yet."""
        return Incoming(self._folder, announced)


class Incoming:
    """A bundle that is arriving. Safe to discard while another thread still adds to it."""

    def __init__(self, inbox: Path, announced: Announced) -> None:
        self._inbox, self._announced = inbox, announced
        self._folder: Path | None = None
        self._lock, self._discarded = Lock(), False
        self._position = -1
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._received = 0

    def add(self, position: int, data: bytes) -> None:
        """Takes the next piece of the document at `position`. Raises: FormatError for anything but the bytes announced."""
        with self._lock:
            if not self._position <= position < len(self._announced.manifest.documents):
                raise FormatError("a chunk is out of order")
            self._turn_to(position)
            self._received += len(data)
            if self._file is None or self._received > self._announced.manifest.documents[position].size:
                raise FormatError("a document is longer than announced")
            self._file.write(data)
            self._digest.update(data)

    def keep(self) -> bool:
        """Makes the bundle appear; False when it was there already. Raises: FormatError when a document is not whole."""
        with self._lock:
            self._turn_to(len(self._announced.manifest.documents))
            folder, final = self._place(), self._inbox / self._announced.manifest.exchange
            self._write_facts(folder)
            _sync(folder)
            if final.exists():
                shutil.rmtree(folder)
                return False
            folder.rename(final)
            self._folder = None
            _sync(self._inbox)
            return True

    def discard(self) -> None:
        """Leaves no trace of a bundle that was not kept."""
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self) -> Path:
        if self._discarded:
            raise FormatError("the bundle was discarded")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=self._inbox))
        return self._folder

    def _turn_to(self, position: int) -> None:
        while self._position < position:
            self._finish()
            self._position += 1
            self._digest, self._received = hashlib.sha256(), 0
            if self._position < len(self._announced.manifest.documents):
                self._file = (self._place() / f"{self._position}.xml").open("wb")

    def _finish(self) -> None:
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        document = self._announced.manifest.documents[self._position]
        if (self._received, self._digest.hexdigest()) != (document.size, document.sha256):
            raise FormatError("a document is not the one announced")

    def _write_facts(self, folder: Path) -> None:
        """Beside the documents: whose they are (by our pseudonym), from whom, why, and the broker's word for it."""
        permit = self._announced.permit
        facts = {
            "exchange": permit.exchange,
            "sender": permit.sender,
            "patient": self._announced.patient,
            "purpose": permit.purpose.value,
            "documents": [document.to_json() for document in self._announced.manifest.documents],
            "manifest": self._announced.token,
        }
        with (folder / "bundle.json").open("w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
            file.flush()
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
