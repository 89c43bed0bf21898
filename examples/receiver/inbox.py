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
from typing import BinaryIO

from examples.receiver.checks import Announced
from services.formats.canonical import FormatError


class Inbox:
    """The folder of received bundles."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, announced: Announced) -> "Incoming":
        """An empty place, invisible so far, for the bundle that was announced."""
        folder = tempfile.mkdtemp(prefix=f".{announced.manifest.exchange[:16]}-", dir=self._folder)
        return Incoming(Path(folder), self._folder / announced.manifest.exchange, announced)


class Incoming:
    """A bundle that is arriving."""

    def __init__(self, folder: Path, final: Path, announced: Announced) -> None:
        self._folder, self._final, self._announced = folder, final, announced
        self._position = -1
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._received = 0

    def add(self, position: int, data: bytes) -> None:
        """Takes the next piece of the document at `position`. Raises: FormatError for anything but the bytes announced."""
        if not self._position <= position < len(self._announced.manifest.documents):
            raise FormatError("a chunk is out of order")
        while self._position < position:
            self._next()
        self._received += len(data)
        if self._file is None or self._received > self._announced.manifest.documents[position].size:
            raise FormatError("a document is longer than announced")
        self._file.write(data)
        self._digest.update(data)

    def keep(self) -> bool:
        """Makes the bundle appear; False when it was there already. Raises: FormatError when a document is not whole."""
        while self._position < len(self._announced.manifest.documents):
            self._next()
        self._write_facts()
        _sync(self._folder)
        if self._final.exists():
            self.discard()
            return False
        self._folder.rename(self._final)
        _sync(self._final.parent)
        return True

    def discard(self) -> None:
        """Leaves no trace of a bundle that was not kept."""
        if self._file is not None:
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _next(self) -> None:
        documents = self._announced.manifest.documents
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            document = documents[self._position]
            if (self._received, self._digest.hexdigest()) != (document.size, document.sha256):
                raise FormatError("a document is not the one announced")
        self._position += 1
        self._file, self._digest, self._received = None, hashlib.sha256(), 0
        if self._position < len(documents):
            self._file = (self._folder / f"{self._position}.xml").open("wb")

    def _write_facts(self) -> None:
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
        with (self._folder / "bundle.json").open("w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
            file.flush()
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
