"""What is wrong with a request, collected field by field so that the caller learns all of it at once."""

from google.protobuf.message import Message

from services.errors import Violation, invalid
from services.registry.domain.admission import Fault


class Faults:
    """The violations of one request."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, fault: Fault) -> None:
        """Notes what is wrong with a field, if anything."""
        if fault is not None:
            self._found.append(Violation(field, fault))

    def unset(self, prefix: str, message: Message, *fields: str) -> None:
        """Notes each output-only field that the caller set."""
        given = {descriptor.name for descriptor, _ in message.ListFields()}
        for field in fields:
            self.add(f"{prefix}.{field}", "is output only" if field in given else None)

    def check(self) -> None:
        """Raises: AccordError FIELD_INVALID with all that was noted."""
        if self._found:
            raise invalid(self._found)
