"""`accord registry`: the register of services, as registrars and auditors use it.

Reading order: `access` (who asks) → `log`.
"""

import typer

from services.ctl.registry import log

registry_app = typer.Typer(no_args_is_help=True, help="The register of referenced services.")
log.register(registry_app)


@registry_app.callback()
def _group() -> None:
    """Keeps the commands by their names, however few they are."""
