"""Version 1: the tables of release 0.1.0, which made them without versions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the organisations, the services with their keys and history, the snapshot's head, and the witness's memory."""
    _organizations()
    _services()
    op.create_table(
        "snapshot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("origin"),
    )


def _organizations() -> None:
    op.create_table(
        "organization",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("siren", sa.String(), nullable=False),
        sa.Column("oid", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("create_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("siren"),
        sa.UniqueConstraint("oid"),
    )


def _services() -> None:
    op.create_table(
        "service",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("organization", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("oid", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("spiffe_id", sa.String(), nullable=False),
        sa.Column("convention", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("create_ms", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.ForeignKeyConstraint(["organization"], ["organization.name"]),
        sa.UniqueConstraint("oid"),
        sa.UniqueConstraint("spiffe_id"),
    )
    op.create_table(
        "service_key",
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("jwk", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kid"),
        sa.ForeignKeyConstraint(["service"], ["service.name"]),
    )
    op.create_index("ix_service_key_service", "service_key", ["service"])
    op.create_table(
        "transition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("justification", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["service"], ["service.name"]),
    )
    op.create_index("ix_transition_service", "transition", ["service"])
