"""Version 3: organisations are suspended, and their services with them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds whether an organisation is suspended, how often it changed, and whether that holds each of its services."""
    op.add_column("organization", sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("organization", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("service", sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_service_organization", "service", ["organization"])
