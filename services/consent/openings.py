"""Opening what a revision's entry commits to, while the patient's key of that year exists."""

from services.consent.domain.snapshot import Terms, read_terms
from services.consent.store.sealed import SealedRevision
from services.consent.vault import Use, Vault
from services.errors import AccordError, Reason


def erased() -> AccordError:
    """What an earlier state was kept under was destroyed with the patient's record."""
    return AccordError(Reason.STATE_CONFLICT, "what stood then was erased")


def open_terms(vault: Vault, row: SealedRevision) -> Terms:
    """What a revision said. Raises: AccordError STATE_CONFLICT where that was erased."""
    if row.wrapped is None:
        raise erased()
    key = vault.unwrap(row.wrapped, row.shard, row.patient, row.year, Use(row.use))
    _, body = vault.open_opening(key, row.sealed, f"{row.origin}|{row.index}")
    return read_terms(body)
