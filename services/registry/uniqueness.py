"""What is recorded once: a name has one content, and what is unique has one holder."""

from collections.abc import Sequence

from services.errors import AccordError, Reason, Violation, invalid


def same(known: object, asked: object) -> None:
    """Raises: AccordError REQUEST_ID_REUSED unless a name is asked for with the content that it has."""
    if known != asked:
        raise AccordError(Reason.REQUEST_ID_REUSED, "the name was used with other content")


def refuse(*held: tuple[str, bool], faults: Sequence[Violation] = ()) -> None:
    """Raises: AccordError FIELD_INVALID for these faults, and for each field whose value is somebody else's."""
    found = [*faults, *(Violation(field, "is already in use") for field, is_held in held if is_held)]
    if found:
        raise invalid(found)
