"""Where profiles and consents may go from where they are: every move in two tables, and nothing else moves.

A move to where a thing already is changes nothing and is no error; a move that no line allows is STATE_CONFLICT.
"""

from enum import StrEnum

from services.errors import AccordError, Reason


class ProfileStatus(StrEnum):
    """Where a patient's profile stands (R1111-28, R1111-36). Only an ACTIVE one takes part in exchanges."""

    INFORMED = "INFORMED"
    OPENED = "OPENED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"
    ERASED = "ERASED"


class ConsentState(StrEnum):
    """Where a consent stands, its dates apart. The last three are final."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    ENDED = "ENDED"


P, C = ProfileStatus, ConsentState
_PROFILE: dict[ProfileStatus, frozenset[ProfileStatus]] = {
    P.INFORMED: frozenset({P.OPENED, P.ACTIVE, P.CLOSED}),
    P.OPENED: frozenset({P.ACTIVE, P.CLOSED}),
    P.ACTIVE: frozenset({P.SUSPENDED, P.CLOSED}),
    P.SUSPENDED: frozenset({P.ACTIVE, P.CLOSED}),
    P.CLOSED: frozenset({P.ACTIVE, P.ERASED}),
    P.ERASED: frozenset(),
}
_CONSENT: dict[ConsentState, frozenset[ConsentState]] = {
    C.ACTIVE: frozenset({C.SUSPENDED, C.REVOKED, C.EXPIRED, C.ENDED}),
    C.SUSPENDED: frozenset({C.ACTIVE, C.REVOKED, C.EXPIRED, C.ENDED}),
    C.REVOKED: frozenset(),
    C.EXPIRED: frozenset(),
    C.ENDED: frozenset(),
}
FINAL = frozenset({C.REVOKED, C.EXPIRED, C.ENDED})


def profile_moves(old: ProfileStatus, new: ProfileStatus) -> bool:
    """Whether the move changes anything. Raises: AccordError STATE_CONFLICT for a move that is not allowed."""
    return _moves(old, new, new in _PROFILE[old])


def consent_moves(old: ConsentState, new: ConsentState) -> bool:
    """Whether the move changes anything. Raises: AccordError STATE_CONFLICT for a move that is not allowed."""
    return _moves(old, new, new in _CONSENT[old])


def _moves(old: StrEnum, new: StrEnum, allowed: bool) -> bool:
    if old is not new and not allowed:
        raise AccordError(Reason.STATE_CONFLICT, f"what is {old.value} cannot become {new.value}")
    return old is not new
