"""`accord ledger`: what an operator runs on the ledger's database itself, by the consent service's own settings.

Reading order: `opening` (what the settings lead to) · `fsck` · `reindex` · `recover`.
"""

import typer

from services.ctl.ledger import fsck, recover, reindex

ledger_app = typer.Typer(no_args_is_help=True, help="The ledger's database: verify it, index it anew, recover it.")
fsck.register(ledger_app)
reindex.register(ledger_app)
recover.register(ledger_app)
