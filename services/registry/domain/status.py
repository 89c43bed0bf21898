"""How a service moves between the stages of its referencing.

Guarantees that a suspension ends only where it began, and that a repeat of the last move changes nothing, so that a
caller whose reply was lost may ask again. Leaves to the catalog who may move what, and the record of each move.
"""

from dataclasses import dataclass

from services.errors import AccordError, Reason
from services.formats.lease import Status

_REFERENCED = frozenset({Status.REFERENCED_WITHOUT_EXCHANGE, Status.REFERENCED_WITH_EXCHANGE})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a service stands, and while it is suspended, where it stood before.

    Raises: ValueError for a suspension of nothing, or for a memory of one that has ended.
    """

    status: Status
    before: Status | None = None

    def __post_init__(self) -> None:
        remembered = self.before in _REFERENCED if self.status is Status.SUSPENDED else self.before is None
        if not remembered:
            raise ValueError("a suspended service, and no other, stood referenced before")


APPLIED = Standing(Status.APPLIED)


def reference(standing: Standing, with_exchange: bool) -> Standing:
    """References a service, with or without exchange. Raises: AccordError STATE_CONFLICT for a suspended one."""
    if standing.status is Status.SUSPENDED:
        raise AccordError(Reason.STATE_CONFLICT, "the service is suspended: reinstate it first")
    return Standing(Status.REFERENCED_WITH_EXCHANGE if with_exchange else Status.REFERENCED_WITHOUT_EXCHANGE)


def suspend(standing: Standing) -> Standing:
    """Suspends a referenced service. Raises: AccordError STATE_CONFLICT for one that is not referenced yet."""
    if standing.status is Status.APPLIED:
        raise AccordError(Reason.STATE_CONFLICT, "the service is not referenced yet")
    return standing if standing.status is Status.SUSPENDED else Standing(Status.SUSPENDED, standing.status)


def reinstate(standing: Standing) -> Standing:
    """Ends a suspension: back to where it began. Raises: AccordError STATE_CONFLICT for a service never referenced."""
    if standing.status is Status.APPLIED:
        raise AccordError(Reason.STATE_CONFLICT, "the service was never suspended")
    return standing if standing.before is None else Standing(standing.before)
