"""Version 2: epochs in the log's keys, uses of data keys, and what profiles, consents and requests have become.

Keys change, so no release works with both versions: processes of 0.1.0 end before, and fail closed beside it. Every row of
version 1 is carried: its log's epoch stands in the log's origin, its keys are of use 0, which seals as they always did, and
a revision's time is its entry's.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from services.chassis.migrations import SchemaError
from services.consent.migrations.remake import carry, remade
from services.formats.times import instant_of

revision = "0002"
down_revision = "0001"

BATCH = 256
"""Entries in memory at once, of 64 KiB at most."""
HEAD = sa.table("head", sa.column("shard"), sa.column("epoch"))
ENTRY = sa.table("entry", sa.column("shard"), sa.column("idx"), sa.column("data"))


def upgrade() -> None:
    """Remakes what has changed its key or its columns, head first: the others find their epoch there."""
    if op.get_context().dialect.name == "postgresql":
        # In the order in which the ledger takes them: whoever appends waits at the head, and then finds version 2.
        tables = 'head, data_key, entry, opening, node, patient, consent, revision, "authorization"'
        op.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
    _head()
    _revisions()
    _log()
    _secrets()
    _patients()
    _consents()
    _requests()
    _exchanges()
    _derived()


def _head() -> None:
    shape = (*_ints("shard", "epoch"), *_texts("origin"), *_bigs("size"), *_blobs("root"), *_bigs("time_ms"))
    pin = (*_bigs("registry_sequence"), *_texts("registry_hash", "note"))
    with remade("head", *shape, *pin, _key("shard", "epoch"), clustered=False) as (old, new):
        was = sa.select(*(column for column in old.columns if column.name != "epoch"))
        rows = [dict(row) | {"epoch": _epoch_in(row["origin"])} for row in op.get_bind().execute(was).mappings()]
        if rows:
            op.get_bind().execute(sa.insert(new), rows)


def _revisions() -> None:
    shape = (*_ints("shard"), *_bigs("consent"), *_ints("revision"), *_texts("state"), *_ints("epoch"))
    with remade("revision", *shape, *_bigs("idx", "time_ms"), _key("shard", "consent", "revision")) as (old, new):
        made = sa.and_(ENTRY.c.shard == old.c.shard, ENTRY.c.idx == old.c.idx)
        was = (old.c.shard, old.c.consent, old.c.revision, old.c.state, old.c.idx, _epoch(old).label("epoch"))
        found = sa.select(*was, ENTRY.c.data).select_from(old.outerjoin(ENTRY, made))
        for rows in op.get_bind().execute(found, execution_options={"yield_per": BATCH}).mappings().partitions():
            op.get_bind().execute(sa.insert(new), [_timed(dict(row)) for row in rows])


def _log() -> None:
    entry = (*_ints("shard", "epoch"), *_bigs("idx"), *_blobs("data"))
    with remade("entry", *entry, _key("shard", "epoch", "idx"), clustered=False) as (old, new):
        carry(old, new, epoch=_epoch(old))
    node = (*_ints("shard", "epoch", "level"), *_bigs("idx"), *_blobs("hash"))
    with remade("node", *node, _key("shard", "epoch", "level", "idx")) as (old, new):
        carry(old, new, epoch=_epoch(old))


def _secrets() -> None:
    owner, secrets = (*_bigs("idx", "patient"), *_ints("year", "use")), _blobs("sealed", "facts")
    opening = (*_ints("shard", "epoch"), *owner, *secrets, _key("shard", "epoch", "idx"))
    with remade("opening", *opening, clustered=False) as (old, new):
        carry(old, new, epoch=_epoch(old), use=sa.literal(0))
    data_key = (*_ints("shard"), *_bigs("patient"), *_ints("year", "use"), *_blobs("wrapped"))
    with remade("data_key", *data_key, _key("shard", "patient", "year", "use")) as (old, new):
        carry(old, new, use=sa.literal(0))


def _patients() -> None:
    secrets, dates = _blobs("ins_hash", "ins_sealed"), (_instant("opens_ms"), _instant("majority_ms"))
    patient = (*_ints("shard"), *_bigs("id"), *_texts("status"), *secrets, *dates, *_ints("aliases"))
    with remade("patient", *patient, _key("shard", "id")) as (old, new):
        active = sa.case((old.c.status == "OPEN", "ACTIVE"), else_=old.c.status)
        carry(old, new, status=active, opens_ms=sa.null(), majority_ms=sa.null(), aliases=sa.literal(0))
    op.create_index("patient_by_ins", "patient", ["shard", "ins_hash"], unique=True)
    op.create_index("patient_by_opening", "patient", ["shard", "opens_ms"])
    op.create_index("patient_by_majority", "patient", ["shard", "majority_ms"])
    alias = (*_ints("shard"), *_blobs("ins_hash"), *_ints("to_shard"), *_bigs("to_patient"))
    _clustered("alias", *alias, _key("shard", "ins_hash"))
    identity = (*_ints("shard"), *_bigs("patient"), *_blobs("ins_hash", "ins_sealed"))
    _clustered("identity", *identity, _key("shard", "patient", "ins_hash"))
    representative = (*_ints("shard"), *_bigs("patient"), *_texts("person"))
    _clustered("representative", *representative, _key("shard", "patient", "person"))


def _consents() -> None:
    state = (
        *_texts("state"),
        sa.Column("standing", sa.Boolean(), nullable=False),
        *_texts("cause"),
        *_ints("revision"),
    )
    terms = (*_texts("scope", "limits"), *_bigs("start_ms", "end_ms"))
    given = (*_texts("notice_sha256", "actor_role", "authentication"), _instant("acknowledged_ms"))
    consent = (*_ints("shard"), *_bigs("patient"), *_texts("service"), *_bigs("id"), *state, *terms, *given)
    with remade("consent", *consent, _key("shard", "patient", "service", "id")) as (old, new):
        nothing: dict[str, sa.ColumnElement[Any]] = {
            "cause": sa.literal(""),
            "limits": sa.literal(""),
            "acknowledged_ms": sa.null(),
        }
        carry(old, new, standing=old.c.state == "ACTIVE", **nothing)
    op.create_index("consent_by_id", "consent", ["shard", "id"], unique=True)
    op.create_index("consent_by_end", "consent", ["shard", "standing", "end_ms"])
    op.create_index("consent_by_service", "consent", ["shard", "service", "patient"])
    quota_use = (*_ints("shard"), *_bigs("consent"), *_texts("exchange"), *_bigs("time_ms"))
    _clustered("quota_use", *quota_use, _key("shard", "consent", "exchange"))
    op.create_index("quota_use_by_time", "quota_use", ["shard", "consent", "time_ms"])
    assertion = (*_ints("shard", "epoch"), *_bigs("idx", "consent"), *_texts("kid", "person"), *_bigs("time_ms"))
    _clustered("assertion", *assertion, _key("shard", "epoch", "idx"))
    op.create_index("assertion_by_person", "assertion", ["shard", "person", "time_ms"])
    op.create_index("assertion_by_key", "assertion", ["shard", "kid", "time_ms"])


def _requests() -> None:
    asked = (*_texts("service", "request_id", "digest", "code", "state", "scope", "limits"), _instant("start_ms"))
    dates = _bigs("end_ms", "created_ms", "expires_ms")
    claimed = (sa.Column("claimed_shard", sa.Integer(), nullable=True), _instant("claimed_patient"))
    _clustered("consent_request", *_ints("shard"), *_bigs("id"), *asked, *dates, *claimed, _key("shard", "id"))
    op.create_index("consent_request_by_code", "consent_request", ["shard", "code"], unique=True)
    op.create_index("consent_request_by_id", "consent_request", ["shard", "service", "request_id"], unique=True)


def _exchanges() -> None:
    exchange = (
        *_texts("exchange"),
        *_bigs("patient"),
        *_texts("service", "counterparty", "subject"),
        *_bigs("time_ms"),
    )
    outcome = (_instant("outcome_idx"), *_texts("result", "digest"))
    shape = (*_ints("shard", "epoch"), *_bigs("idx"), *exchange, *outcome, _key("shard", "epoch", "idx"))
    with remade("authorization", *shape) as (old, new):
        carry(old, new, epoch=_epoch(old))
    op.create_index("authorization_by_exchange", "authorization", ["shard", "exchange"])
    op.create_index("authorization_by_outcome", "authorization", ["shard", "outcome_idx", "time_ms"])


def _derived() -> None:
    record = (*_ints("shard"), *_texts("service"), *_bigs("sequence"), *_blobs("hash", "data"))
    op.create_table("registry_record", *record, _key("shard", "service", "sequence"))
    said = _texts("type", "actor", "subject", "service", "counterparty", "reason")
    _clustered("trace", *_ints("shard", "epoch"), *_bigs("idx", "time_ms"), *said, _key("shard", "epoch", "idx"))
    op.create_index("trace_by_subject", "trace", ["shard", "subject", "epoch", "idx"])
    op.create_index("trace_by_service", "trace", ["shard", "service", "epoch", "idx"])
    op.create_index("trace_by_counterparty", "trace", ["shard", "counterparty", "epoch", "idx"])
    op.create_index("trace_by_time", "trace", ["shard", "time_ms"])


def _epoch_in(origin: str) -> int:
    parts = origin.split("/")
    if len(parts) != 4 or parts[1] != "ledger" or not (parts[2].isascii() and parts[2].isdigit()):
        raise SchemaError(f"a log's origin names no epoch: {origin!r}")
    return int(parts[2])


def _epoch(of: sa.TableClause) -> sa.ColumnElement[Any]:
    """The epoch of the row's log; null, which no column takes, where the log has no head."""
    return sa.select(HEAD.c.epoch).where(HEAD.c.shard == of.c.shard).scalar_subquery()


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    """A revision with its entry's time in place of the entry."""
    try:
        time_ms = instant_of(json.loads(row.pop("data"))["time"])
    except (ValueError, TypeError, KeyError) as error:
        place = f"shard {row['shard']}, index {row['idx']}"
        raise SchemaError(f"a revision's entry cannot be read: {place}") from error
    return row | {"time_ms": time_ms}


def _clustered(name: str, *shape: SchemaItem) -> None:
    op.create_table(name, *shape, sqlite_with_rowid=False)


def _key(*names: str) -> SchemaItem:
    return sa.PrimaryKeyConstraint(*names)


def _ints(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _bigs(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _blobs(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.LargeBinary(), nullable=False) for name in names]


def _instant(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=True)
