"""What the holder of the register's lock does: reads the time, changes the register, and says so in its log.

Guarantees that the time was read after the lock and is never before the log's newest entry; that changes, the snapshot they
lead to and their entries are written together by `flush`, or not at all; and that a register which readers could no longer
receive whole is not written.
"""

from sqlalchemy import Connection

from services.chassis.clock import Clock, time_after
from services.errors import AccordError, Reason
from services.registry import store
from services.registry.domain.service import Service
from services.registry.domain.snapshot import Snapshot
from services.registry.log import Event, RegisterLog

LEEWAY_MS = 1000
"""How far the clock may be behind the log's newest entry."""


class Locked:
    """One transaction under the register's lock; made with its first statement."""

    def __init__(self, connection: Connection, log: RegisterLog, clock: Clock) -> None:
        self.connection = connection
        self.before = store.snapshot(connection, lock=True)
        self.now_ms = time_after(clock, log.last_ms(connection), LEEWAY_MS)
        self._log, self._events, self._changed, self._size = log, list[Event](), False, 0

    def note(self, event: Event) -> None:
        """Has an entry appended."""
        self._events.append(event)

    def add_service(self, service: Service) -> None:
        """Records a new service; the entry is the caller's."""
        store.insert_service(self.connection, service)
        self._changed = True

    def move_service(self, service: Service) -> None:
        """Stores where a service now stands; the entry is the caller's."""
        store.update_service(self.connection, service)
        self._changed = True

    def flush(self) -> Snapshot:
        """The snapshot that is current afterwards. Raises: AccordError STATE_CONFLICT for a register that is full."""
        after = store.advance(self.connection, self.before) if self._changed else self.before
        if not after.fits:
            raise AccordError(Reason.STATE_CONFLICT, "the register is full")
        self._size = self._log.append(self.connection, self.now_ms, after.pin, self._events)
        return after

    def committed(self) -> None:
        """After COMMIT."""
        self._log.committed(self._size)
