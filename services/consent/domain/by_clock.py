"""Where a consent stands by the clock, whether or not the sweeper has written it down yet."""

from dataclasses import replace

from services.consent.domain.lifecycle import FINAL, ConsentState
from services.consent.domain.values import Consent

MAJORITY = "majority"
"""The cause of a representative's consent that waits for the holder, who has come of age."""


def by_clock(consent: Consent, now_ms: int) -> Consent:
    """The consent as it stands now: expired at its end, suspended from majority until the holder confirms it."""
    if consent.state in FINAL:
        return consent
    if consent.end_ms <= now_ms:
        return replace(consent, state=ConsentState.EXPIRED, cause="")
    if consent.state is ConsentState.ACTIVE and is_unconfirmed(consent, now_ms):
        return replace(consent, state=ConsentState.SUSPENDED, cause=MAJORITY)
    return consent


def is_unconfirmed(consent: Consent, now_ms: int) -> bool:
    """Whether a representative gave it, and the holder, of age by now, has not confirmed it."""
    return consent.limits.confirm_ms is not None and consent.limits.confirm_ms <= now_ms


def taken_up(consent: Consent) -> range:
    """The revisions that a resumption of this suspended consent, as it stands by the clock, may have been signed for.

    From majority on the clock suspends: who saw the consent before that was written down saw the revision before.
    """
    return range(consent.revision - (consent.cause == MAJORITY), consent.revision + 1)
