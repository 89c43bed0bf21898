"""Bundles in flight, on disk: one private folder for each exchange, one file for each document.

Guarantees that a spooled document has exactly the declared size and SHA-256 and a header that `CdaReader` accepts, that
memory stays bounded by one chunk, and that nothing outlives its exchange or, after a crash, the next start. A folder is
0700 and a file 0600; the bytes are in clear, so the volume's encryption is the operator's. Leaves to others: what a header
must say (`domain.bundle`).

All of it blocks: call it from a worker thread, one call for each chunk.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from services.errors import MEANINGS, AccordError, Reason, Violation, invalid
from services.exchange.domain.cda import CdaHeader, CdaReader
from services.formats.manifest import DeclaredDocument

MAX_CHUNK = 262_144


class Spool:
    """The folder of all bundles in flight; one process owns it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Makes the folder private and empty: what a crash left is deleted. Raises: AccordError STORAGE_UNAVAILABLE."""
        with _storage():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            for left in self._folder.iterdir():
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

    def open(self, exchange: str, documents: tuple[DeclaredDocument, ...]) -> "SpooledBundle":
        """An empty bundle of these declared documents. Raises: AccordError STORAGE_UNAVAILABLE."""
        folder = self._folder / exchange
        with _storage():
            if folder.exists():  # an earlier try of this exchange whose folder could not be deleted
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
        return SpooledBundle(folder, documents)


class SpooledBundle:
    """One exchange's documents: filled in the manifest's order, closed for their headers, read back, deleted."""

    def __init__(self, folder: Path, documents: tuple[DeclaredDocument, ...]) -> None:
        self._folder = folder
        self._documents = documents
        self._headers: list[CdaHeader] = []
        self._current: _Document | None = None
        # A caller that is cancelled deletes while its last call still runs in another thread.
        self._lock = Lock()
        self._deleted = False

    def add(self, position: int, data: bytes) -> None:
        """Takes the next piece of the document at `position`.

        Raises: AccordError FIELD_INVALID or BUNDLE_TOO_LARGE for a wrong chunk, DIGEST_MISMATCH when bytes are missing or
        too many, the reason of a document's refusal once it is complete, STORAGE_UNAVAILABLE.
        """
        _check_chunk(position, len(data), len(self._documents))
        with self._lock, _storage():
            self._turn_to(position)
            self._document(position).write(data)

    def close(self) -> tuple[CdaHeader, ...]:
        """Every document's header, in order, once all bytes are there. Raises: AccordError as `add`."""
        with self._lock, _storage():
            self._turn_to(len(self._documents))
        return tuple(self._headers)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """The bytes again: (position, at most MAX_CHUNK bytes). Raises: AccordError STORAGE_UNAVAILABLE."""
        for position in range(len(self._documents)):
            with _storage(), self._path(position).open("rb", buffering=0) as file:
                while data := file.read(MAX_CHUNK):
                    yield position, data

    def delete(self) -> None:
        """Deletes every byte. Raises: AccordError STORAGE_UNAVAILABLE."""
        with self._lock, _storage():
            self._deleted = True
            if self._current is not None:
                self._current.abandon()
            shutil.rmtree(self._folder)

    def _turn_to(self, position: int) -> None:
        """Completes each document before `position`; one that got no chunk at all is complete if it is empty."""
        if self._deleted:
            raise AccordError(Reason.STORAGE_UNAVAILABLE, "the bundle was deleted")
        if position < len(self._headers):
            raise _mismatch(position, "its bytes were complete already")
        while len(self._headers) < position:
            done = len(self._headers)
            header = self._document(done).close()
            self._current = None
            self._headers.append(header)

    def _document(self, position: int) -> "_Document":
        if self._current is None:
            self._current = _Document(position, self._path(position), self._documents[position])
        return self._current

    def _path(self, position: int) -> Path:
        return self._folder / str(position)


class _Document:
    """A document that is arriving."""

    def __init__(self, position: int, path: Path, declared: DeclaredDocument) -> None:
        self._position = position
        self._declared = declared
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._digest = sha256()
        self._reader = CdaReader()
        self._received = 0
        self._refusal: AccordError | None = None

    def write(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._declared.size:
            raise _mismatch(self._position, "it has more bytes than declared")
        self._file.write(data)
        self._digest.update(data)
        if self._refusal is None:
            try:
                self._reader.feed(data)
            except AccordError as refusal:
                # Judged only once the digest holds: of bytes that nobody signed there is nothing to say.
                self._refusal = refusal

    def close(self) -> CdaHeader:
        self._file.close()
        if self._received != self._declared.size or self._digest.hexdigest() != self._declared.sha256:
            raise _mismatch(self._position, MEANINGS[Reason.DIGEST_MISMATCH].english)
        try:
            if self._refusal is not None:
                raise self._refusal
            return self._reader.close()
        except AccordError as refusal:
            raise AccordError(refusal.reason, f"document {self._position}: {refusal.detail}") from None

    def abandon(self) -> None:
        with suppress(OSError):  # closing flushes, and a full disk refuses that; the file goes all the same
            self._file.close()


def _check_chunk(position: int, size: int, documents: int) -> None:
    if size > MAX_CHUNK:
        raise AccordError(Reason.BUNDLE_TOO_LARGE, f"a chunk has more than {MAX_CHUNK} bytes")
    if size == 0:
        raise invalid([Violation("chunk.data", "must not be empty")])
    if not 0 <= position < documents:
        raise invalid([Violation("chunk.document", "must be the position of a document in the manifest")])


def _mismatch(position: int, why: str) -> AccordError:
    return AccordError(Reason.DIGEST_MISMATCH, f"document {position}: {why}")


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, "the spool cannot take this", retry_after=5.0) from error
