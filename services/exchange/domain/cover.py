"""Until when bytes may leave: the one rule of cutting, as a pure function of clocks and of what is known.

Guarantees that nothing is covered later than the permit's end or three seconds after the latest permitted Check was sent,
whichever is later, and that no clock set back prolongs a permit. Leaves asking, waiting and cutting to `gate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.errors import Reason
from services.formats.lease import ServiceRecord, Status
from services.formats.permit import PERMIT_LIFE_S

CHECK_LIFE_S = 3.0


@dataclass(frozen=True, slots=True)
class Cover:
    """What covers the bytes of one exchange.

    The permit's end by the wall clock (`expires_ms`); monotonic seconds when it was asked for, and when the latest Check
    that came back permitted was sent.
    """

    expires_ms: int
    asked: float
    checked: float | None = None

    def holds(self, now_ms: int, monotonic: float) -> bool:
        """Whether a byte may leave at this instant of both clocks."""
        permit_lives = now_ms < self.expires_ms and monotonic - self.asked < PERMIT_LIFE_S
        return permit_lives or (self.checked is not None and monotonic - self.checked < CHECK_LIFE_S)

    def renewed(self, sent: float) -> "Cover":
        """The cover after a permitted Check that was sent at `sent`."""
        return replace(self, checked=sent if self.checked is None else max(sent, self.checked))


def barred(services: Mapping[str, ServiceRecord], sender: str, recipient: str) -> Reason | None:
    """Why the register no longer lets these two exchange, or None while both are referenced with exchange."""
    record = services.get(sender)
    if record is None or record.status is not Status.REFERENCED_WITH_EXCHANGE:
        suspended = record is not None and record.status is Status.SUSPENDED
        return Reason.SERVICE_SUSPENDED if suspended else Reason.SERVICE_NOT_REFERENCED
    record = services.get(recipient)
    if record is None or record.status is not Status.REFERENCED_WITH_EXCHANGE:
        return Reason.RECIPIENT_NOT_PERMITTED
    return None
