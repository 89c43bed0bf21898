"""`accord registry`: the register of services, as registrars and auditors use it.

Reading order: `access` (who asks) → `moves` · `log`.
"""

import typer

from services.ctl.registry import log, moves

registry_app = typer.Typer(no_args_is_help=True, help="The register of referenced services.")
moves.register(registry_app)
log.register(registry_app)
