"""The register's schema, version by version, and who may do what with its tables.

`versions/` holds the scripts that `chassis.migrations` runs (and says how the next one must be written); `roles` the rights.
"""

from pathlib import Path

from services.chassis.migrations import Versions

FOLDER = Path(__file__).parent
SUPPORTED = Versions(oldest=3, newest=3)
"""What this release works with."""
