"""Whether the registry can serve: its database answers, the lease is of what the database holds, the ledger is believed."""

from collections.abc import Sequence

from services.errors import AccordError
from services.registry import store
from services.registry.commits import Commits
from services.registry.lease import Leases


async def problems(commits: Commits, leases: Leases) -> Sequence[str]:
    """What keeps the registry from serving. Raises: AccordError STORAGE_UNAVAILABLE."""
    try:
        leases.require()
    except AccordError as error:
        return (error.reason.value,)
    before = await leases.current()
    stored = await commits.read(store.head)
    # A change may be published while the head is read: either side of it is right.
    if stored in (before.pin, (await leases.current()).pin):
        return ()
    return ("the lease is not of the stored snapshot",)
