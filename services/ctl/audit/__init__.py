"""`accord audit`: what an auditor asks the ledger, exports of it, and what is proven from an export alone.

Reading order: `access` (who asks) → `search`, `show`, `stats` · `exporting`, `writing` (how an export is made) → `folder`,
`book` (how it is read) → `fsck`, `promise`, `replay`, `reconcile`. Exit statuses: 0 it holds, 1 it does not, 2 nobody knows.
"""

import typer

from services.ctl import audit_watch
from services.ctl.audit import export, fsck, promise, reconcile, replay, search, show, stats

audit_app = typer.Typer(
    no_args_is_help=True, help="What auditors ask the ledger, and what they prove from its exports."
)
for _module in (search, show, stats, export, fsck, promise, replay, reconcile, audit_watch):
    _module.register(audit_app)
