"""Version 1: the tables of release 0.1.0, which made them without versions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the log, what it commits to, the patients, their consents, and the authorisations."""
    _log()
    _secrets()
    _patients()
    _consents()
    _authorizations()


def _log() -> None:
    op.create_table(
        "head",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("registry_sequence", sa.BigInteger(), nullable=False),
        sa.Column("registry_hash", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("shard"),
    )
    op.create_table(
        "entry",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "idx"),
    )
    op.create_table(
        "node",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "level", "idx"),
        sqlite_with_rowid=False,
    )


def _secrets() -> None:
    op.create_table(
        "opening",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "idx"),
    )
    op.create_table(
        "data_key",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "patient", "year"),
        sqlite_with_rowid=False,
    )


def _patients() -> None:
    op.create_table(
        "patient",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("ins_hash", sa.LargeBinary(), nullable=False),
        sa.Column("ins_sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("patient_by_ins", "patient", ["shard", "ins_hash"], unique=True)
    op.create_table(
        "pairing",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "patient", "service"),
        sqlite_with_rowid=False,
    )


def _consents() -> None:
    op.create_table(
        "consent",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("notice_sha256", sa.String(), nullable=False),
        sa.Column("actor_role", sa.String(), nullable=False),
        sa.Column("authentication", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "patient", "service", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("consent_by_id", "consent", ["shard", "id"], unique=True)
    op.create_table(
        "revision",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("consent", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "consent", "revision"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "grant_request",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("consent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "patient", "request_id"),
        sqlite_with_rowid=False,
    )


def _authorizations() -> None:
    op.create_table(
        "authorization",
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=False),
        sa.Column("patient", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("counterparty", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome_idx", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "idx"),
        sqlite_with_rowid=False,
    )
    op.create_index("authorization_by_exchange", "authorization", ["shard", "exchange"])
    op.create_index("authorization_by_outcome", "authorization", ["shard", "outcome_idx", "time_ms"])
