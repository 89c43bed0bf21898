"""Where profiles and consents may go from where they are: every move in two tables, and nothing else moves.

A move to where a thing already is changes nothing and is no error; a move that no line allows is STATE_CONFLICT.
A profile's moves are the entries that tell of them, so that the log read from its start says where each profile stands.
"""

from enum import StrEnum

from services.errors import AccordError, Reason
from services.formats.entry import EntryType


class ProfileStatus(StrEnum):
    """Where a patient's profile stands (R1111-28, R1111-36). Only an ACTIVE one takes part in exchanges.

    BARRED is closed while the platform's suspension stands: whoever reopens it finds it suspended.
    """

    INFORMED = "INFORMED"
    OPENED = "OPENED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"
    BARRED = "BARRED"
    ERASED = "ERASED"


class ConsentState(StrEnum):
    """Where a consent stands, its dates apart. The last three are final."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    ENDED = "ENDED"


P, C, E = ProfileStatus, ConsentState, EntryType
_PROFILE: dict[EntryType, dict[ProfileStatus | None, ProfileStatus]] = {
    E.PROFILE_INFORMED: {None: P.INFORMED},
    E.PROFILE_OPENED: {None: P.ACTIVE, P.INFORMED: P.OPENED},
    E.PROFILE_ACTIVATED: {P.INFORMED: P.ACTIVE, P.OPENED: P.ACTIVE, P.ACTIVE: P.ACTIVE},
    E.PROFILE_SUSPENDED: {P.ACTIVE: P.SUSPENDED, P.CLOSED: P.BARRED, P.SUSPENDED: P.SUSPENDED, P.BARRED: P.BARRED},
    E.PROFILE_RESUMED: {P.SUSPENDED: P.ACTIVE, P.BARRED: P.CLOSED, P.ACTIVE: P.ACTIVE, P.CLOSED: P.CLOSED},
    E.PROFILE_CLOSED: {
        P.INFORMED: P.CLOSED,
        P.OPENED: P.CLOSED,
        P.ACTIVE: P.CLOSED,
        P.SUSPENDED: P.BARRED,
        P.CLOSED: P.CLOSED,
        P.BARRED: P.BARRED,
    },
    E.PROFILE_REOPENED: {P.CLOSED: P.ACTIVE, P.BARRED: P.SUSPENDED, P.ACTIVE: P.ACTIVE, P.SUSPENDED: P.SUSPENDED},
    E.PATIENT_ERASED: {P.CLOSED: P.ERASED, P.BARRED: P.ERASED, P.ERASED: P.ERASED},
}
"""Where each entry leads from where a profile stood; from None where there was none."""
PROFILE_MOVES = frozenset(_PROFILE)
_CONSENT: dict[ConsentState, frozenset[ConsentState]] = {
    C.ACTIVE: frozenset({C.SUSPENDED, C.REVOKED, C.EXPIRED, C.ENDED}),
    C.SUSPENDED: frozenset({C.ACTIVE, C.REVOKED, C.EXPIRED, C.ENDED}),
    C.REVOKED: frozenset(),
    C.EXPIRED: frozenset(),
    C.ENDED: frozenset(),
}
FINAL = frozenset({C.REVOKED, C.EXPIRED, C.ENDED})


def profile_after(old: ProfileStatus | None, move: EntryType) -> ProfileStatus:
    """Where a profile stands after `move`, one of PROFILE_MOVES. Raises: AccordError STATE_CONFLICT where it may not."""
    new = _PROFILE[move].get(old)
    if new is None:
        was = old.value if old is not None else "not there"
        raise AccordError(Reason.STATE_CONFLICT, f"{move.value} cannot follow on a profile that is {was}")
    return new


def consent_moves(old: ConsentState, new: ConsentState) -> bool:
    """Whether the move changes anything. Raises: AccordError STATE_CONFLICT for a move that is not allowed."""
    if old is not new and new not in _CONSENT[old]:
        raise AccordError(Reason.STATE_CONFLICT, f"what is {old.value} cannot become {new.value}")
    return old is not new
