"""`accord consent`: what services ask of patients, and what the portal records, typed by hand to try a platform.

Reading order: `access` (who speaks, to whom, how a command ends) · `terms` (what options say) · `shown` (how it is printed)
· `reading` → `request`, `show`, `grant`, `change`, `lists`, `explaining`, `watch`. Exit statuses: 0 done, 1 the answer is
no, 2 nobody could be asked. Leaves to the ledger whether something may be; of patients it prints only the names that the
caller holds.
"""

import typer

from services.ctl.consent import change, explaining, grant, lists, request, show, watch

consent_app = typer.Typer(
    no_args_is_help=True,
    help="""Ask for a consent as a service, decide on it as the portal.

    With a stack of accord up: request --wait as the service; show --code, grant, narrow, revoke as the portal; explain and
    watch as the service. Each has an example: accord consent request --help
    """,
)
for _module in (request, show, grant, change, lists, explaining, watch):
    _module.register(consent_app)
