"""The ledger's schema, as `chassis.schema` prepares and migrates it."""

from services.chassis.schema import Schema
from services.consent.migrations import FOLDER, SUPPORTED
from services.consent.migrations.roles import grant, require_rights

SCHEMA = Schema(FOLDER, SUPPORTED, grant, require_rights)
prepare, migrate_only = SCHEMA.prepare, SCHEMA.migrate_only
