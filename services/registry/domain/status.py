"""How a service moves between the stages of its referencing.

Guarantees that a suspension ends only where it began, that a service's own and its organisation's end apart, and that a
repeat of the last move changes nothing, so that a caller whose reply was lost may ask again. Leaves to the catalog who may
move what, and the record of each move.
"""

from dataclasses import dataclass, replace

from services.errors import AccordError, Reason
from services.formats.lease import Status

_REFERENCED = frozenset({Status.REFERENCED_WITHOUT_EXCHANGE, Status.REFERENCED_WITH_EXCHANGE})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a service stands by itself, and while it is suspended, where it stood before.

    `held`: its organisation is suspended. Raises: ValueError for a suspension of nothing, or for a memory of one that has
    ended.
    """

    status: Status
    before: Status | None = None
    held: bool = False

    def __post_init__(self) -> None:
        remembered = self.before in _REFERENCED if self.status is Status.SUSPENDED else self.before is None
        if not remembered:
            raise ValueError("a suspended service, and no other, stood referenced before")

    @property
    def effective(self) -> Status:
        """Where it stands for everybody: what is referenced is suspended while its organisation is."""
        return Status.SUSPENDED if self.held and self.status in _REFERENCED else self.status


APPLIED = Standing(Status.APPLIED)


def reference(standing: Standing, with_exchange: bool) -> Standing:
    """References a service, with or without exchange. Raises: AccordError STATE_CONFLICT while it is suspended."""
    if standing.status is Status.SUSPENDED:
        raise AccordError(Reason.STATE_CONFLICT, "the service is suspended: reinstate it first")
    if standing.held:
        raise AccordError(Reason.STATE_CONFLICT, "the organisation is suspended: reinstate it first")
    return Standing(Status.REFERENCED_WITH_EXCHANGE if with_exchange else Status.REFERENCED_WITHOUT_EXCHANGE)


def suspend(standing: Standing) -> Standing:
    """Suspends a referenced service by itself. Raises: AccordError STATE_CONFLICT for one that is not referenced yet."""
    if standing.status is Status.APPLIED:
        raise AccordError(Reason.STATE_CONFLICT, "the service is not referenced yet")
    if standing.status is Status.SUSPENDED:
        return standing
    return Standing(Status.SUSPENDED, standing.status, standing.held)


def reinstate(standing: Standing) -> Standing:
    """Ends a service's own suspension: back to where it began.

    Raises: AccordError STATE_CONFLICT for a service never referenced, or suspended by its organisation's suspension alone.
    """
    if standing.status is Status.APPLIED:
        raise AccordError(Reason.STATE_CONFLICT, "the service was never suspended")
    if standing.before is not None:
        return Standing(standing.before, None, standing.held)
    if standing.held:
        raise AccordError(Reason.STATE_CONFLICT, "the organisation is suspended, not the service: reinstate that")
    return standing


def hold(standing: Standing, held: bool) -> Standing:
    """What the suspension of its organisation, or the end of it, makes of a service; its own suspension stays."""
    return replace(standing, held=held)
