"""The broker's own memory: which request ids were used, how each ended, and the highest checkpoint seen of each log.

Guarantees that one (service, request id) is claimed by one manifest, once; that an answer, once stored, is the one given
again; and that what returned is on disk. Holds no document. Trust, beside each table: `exchange` is the broker's word and
proves nothing, its `evidence` proves itself; `checkpoint` holds signed notes.

States: CLAIMED (nothing has left) → SENDING (bytes may have left) → DELIVERED | REFUSED. A claim that is released is
forgotten. One process owns the rows of its `instance`; another's are left alone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, cast

from sqlalchemy import BigInteger, Connection, LargeBinary, Row, Table, delete, insert, select, update
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from services.chassis.batch import Batcher
from services.chassis.db import Database
from services.errors import Reason
from services.exchange.domain.exchange import Answer, Case, DocumentStatus, Ended, EntryRef, Sent
from services.formats.canonical import dumps, loads
from services.formats.entry import OutcomeResult

T = TypeVar("T")


class State(StrEnum):
    """How far an exchange is."""

    CLAIMED = "CLAIMED"
    SENDING = "SENDING"
    DELIVERED = "DELIVERED"
    REFUSED = "REFUSED"


class ExchangeTable(SQLModel, registry=registry()):
    """The base of the broker's tables: their metadata is its own."""


class ExchangeRow(ExchangeTable, table=True):
    """One request id of one service, the exchange (manifest hash) that claimed it, and how that ended."""

    __tablename__ = "exchange"
    service: str = Field(primary_key=True)
    request_id: str = Field(primary_key=True)
    exchange: str
    instance: str = Field(index=True)
    state: str
    origin: str | None = None
    authorization: int | None = Field(default=None, sa_type=BigInteger)
    leaf: bytes | None = Field(default=None, sa_type=LargeBinary)
    ended: bytes | None = Field(default=None, sa_type=LargeBinary)
    reason: str | None = None
    receipt: bytes | None = Field(default=None, sa_type=LargeBinary)
    evidence: bytes | None = Field(default=None, sa_type=LargeBinary)


class CheckpointRow(ExchangeTable, table=True):
    """The highest checkpoint seen of one log, as its signed note."""

    __tablename__ = "checkpoint"
    origin: str = Field(primary_key=True)
    note: str


_EXCHANGE = cast(Table, ExchangeRow.__table__)  # type: ignore[attr-defined]
_CHECKPOINT = cast(Table, CheckpointRow.__table__)  # type: ignore[attr-defined]
METADATA = ExchangeTable.metadata


@dataclass(frozen=True, slots=True)
class Key:
    """What a sender chose: its service and the manifest's request id."""

    service: str
    request_id: str


def key_of(case: Case) -> Key:
    """The key that a case claims."""
    return Key(case.manifest.sender, case.manifest.jti)


@dataclass(frozen=True, slots=True)
class Earlier:
    """An exchange that already claimed a request id; `reason` when refused, `answer` when delivered."""

    exchange: str
    state: State
    reason: Reason | None
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An exchange whose bytes may have left, and whose answer this broker has not kept; `ended` if it kept that."""

    key: Key
    exchange: str
    authorization: EntryRef
    ended: Ended | None


class Store:
    """Every statement, each durable when it returns; concurrent calls share a transaction."""

    def __init__(self, database: Database, executor: Executor, instance: str) -> None:
        self._database = database
        self._instance = instance
        self._batcher: Batcher[Callable[[Connection], Any], Any] = Batcher(self._run, executor)

    async def claim(self, key: Key, exchange: str) -> Earlier | None:
        """Claims the request id for this exchange; returns who has it already, if anyone."""
        return await self._do(lambda connection: self._claim(connection, key, exchange))

    async def sending(self, key: Key, authorization: EntryRef) -> None:
        """From here on bytes may leave."""
        place = {"origin": authorization.origin, "authorization": authorization.index, "leaf": authorization.leaf}
        await self._set(key, state=State.SENDING, **place)

    async def ended(self, key: Key, ended: Ended) -> None:
        """Keeps how sending ended, until its answer or refusal is kept."""
        await self._set(key, ended=_ended_bytes(ended))

    async def delivered(self, key: Key, answer: Answer) -> None:
        """Keeps the answer."""
        await self._set(key, state=State.DELIVERED, ended=None, receipt=_receipt(answer), evidence=answer.evidence)

    async def refused(self, key: Key, reason: Reason) -> None:
        """Keeps the refusal."""
        await self._set(key, state=State.REFUSED, ended=None, reason=reason.value)

    async def release(self, key: Key) -> None:
        """Forgets a claim of which nothing was delivered, so that the same manifest may be tried again.

        What has an answer keeps it: a release whose commit was in doubt comes again, perhaps after the manifest did.
        """
        statement = delete(_EXCHANGE).where(*_is(key), _EXCHANGE.c.state.in_((State.CLAIMED, State.SENDING)))
        await self._do(lambda connection: connection.execute(statement) and None)

    async def recover(self) -> list[Unsettled]:
        """At start: forgets this instance's claims, and returns what it was sending when it stopped."""
        return await self._do(self._recover)

    async def checkpoints(self) -> dict[str, str]:
        """The kept note of each log, by origin."""
        rows = await self._do(lambda connection: connection.execute(select(_CHECKPOINT)).all())
        return {row.origin: row.note for row in rows}

    async def keep(self, origin: str, note: str) -> None:
        """Replaces the kept note of a log; the caller has checked that it continues the one before."""
        await self._do(lambda connection: _keep(connection, origin, note))

    async def close(self) -> None:
        """Finishes what waits."""
        await self._batcher.close()

    async def _do(self, statement: Callable[[Connection], T]) -> T:
        return cast(T, await self._batcher.submit(statement))

    async def _set(self, key: Key, **values: Any) -> None:
        statement = update(_EXCHANGE).where(*_is(key)).values(**values)
        await self._do(lambda connection: connection.execute(statement) and None)

    def _run(self, statements: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        with self._database.write() as connection:
            return [statement(connection) for statement in statements]

    def _claim(self, connection: Connection, key: Key, exchange: str) -> Earlier | None:
        row = connection.execute(select(_EXCHANGE).where(*_is(key))).one_or_none()
        if row is not None:
            return _earlier(row)
        values = {"service": key.service, "request_id": key.request_id, "exchange": exchange}
        connection.execute(insert(_EXCHANGE).values(**values, instance=self._instance, state=State.CLAIMED))
        return None

    def _recover(self, connection: Connection) -> list[Unsettled]:
        mine = _EXCHANGE.c.instance == self._instance
        connection.execute(delete(_EXCHANGE).where(mine, _EXCHANGE.c.state == State.CLAIMED))
        rows = connection.execute(select(_EXCHANGE).where(mine, _EXCHANGE.c.state == State.SENDING))
        return [_unsettled(row) for row in rows]


def _is(key: Key) -> tuple[Any, Any]:
    return _EXCHANGE.c.service == key.service, _EXCHANGE.c.request_id == key.request_id


def _keep(connection: Connection, origin: str, note: str) -> None:
    mine = _CHECKPOINT.c.origin == origin
    if connection.execute(update(_CHECKPOINT).where(mine).values(note=note)).rowcount == 0:
        connection.execute(insert(_CHECKPOINT).values(origin=origin, note=note))


def _earlier(row: Row[Any]) -> Earlier:
    reason = Reason(row.reason) if row.reason else None
    answer = _answer(row.exchange, row.receipt, row.evidence) if row.receipt else None
    return Earlier(row.exchange, State(row.state), reason, answer)


def _unsettled(row: Row[Any]) -> Unsettled:
    place = EntryRef(row.origin, row.authorization, row.leaf)
    return Unsettled(Key(row.service, row.request_id), row.exchange, place, row.ended and _ended(row.ended))


def _ended_bytes(ended: Ended) -> bytes:
    sent = ended.sent
    told = [sent.result.value, sent.reason and sent.reason.value, sent.bytes_sent, sent.first_ms, sent.last_ms]
    return dumps([ended.manifest, ended.permit, list(ended.classes), [*told, sent.manifest, sent.acknowledgement]])


def _ended(kept: bytes) -> Ended:
    manifest, permit, classes, (result, reason, *rest) = loads(kept)
    sent = Sent(OutcomeResult(result), reason and Reason(reason), *rest)
    return Ended(manifest, permit, tuple(classes), sent)


def _receipt(answer: Answer) -> bytes:
    documents = [[document.document_class, document.size] for document in answer.documents]
    return dumps([answer.authorization_index, answer.outcome_index, documents])


def _answer(exchange: str, receipt: bytes, evidence: bytes) -> Answer:
    authorization, outcome, documents = loads(receipt)
    statuses = tuple(DocumentStatus(document_class, size) for document_class, size in documents)
    return Answer(exchange, authorization, outcome, statuses, evidence)
