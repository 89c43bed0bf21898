"""The register's schema, as `chassis.schema` prepares and migrates it."""

from services.chassis.schema import Schema
from services.registry.migrations import FOLDER, SUPPORTED
from services.registry.migrations.roles import grant, require_rights

SCHEMA = Schema(FOLDER, SUPPORTED, grant, require_rights)
