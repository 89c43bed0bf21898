"""What is asked of the register's log, and what is answered."""

import re
from collections.abc import Sequence

from accord.registry.v1 import register_log_service_pb2 as pb

from services.formats.canonical import FormatError
from services.formats.jwk import b64url, unb64url
from services.formats.register_entry import RESOURCE
from services.registry.convert.faults import Faults
from services.registry.convert.messages import MAX_PAGE_BYTES
from services.registry.log_reader import Read

MAX_PAGE, DEFAULT_PAGE = 500, 100
_DIGITS = re.compile(r"[0-9]{1,18}")


def page(request: pb.ListRegisterEntriesRequest) -> tuple[str, int, int]:
    """The resource whose entries are asked for (empty: all), the index that the page begins at, and its size."""
    faults = Faults()
    known = not request.resource or RESOURCE.fullmatch(request.resource)
    faults.add("resource", None if known else "is neither organizations/… nor services/…")
    sized = 0 <= request.page_size <= MAX_PAGE
    faults.add("page_size", None if sized else f"is not 1 to {MAX_PAGE}")
    first = _index(request.page_token)
    faults.add("page_token", "is not a token of this service" if first is None else None)
    faults.check()
    return request.resource, first or 0, request.page_size or DEFAULT_PAGE


def index(request: pb.GetRegisterEntryRequest) -> int:
    """The index of an entry."""
    faults = Faults()
    faults.add("index", None if request.index >= 0 else "is negative")
    faults.check()
    return request.index


def sizes(request: pb.GetRegisterConsistencyRequest) -> tuple[int, int]:
    """The older and the newer size of a log."""
    old, new = request.old_size, request.new_size
    faults = Faults()
    faults.add("old_size", None if old >= 1 else "is not at least 1")
    faults.add("new_size", None if new >= old else "is less than old_size")
    faults.check()
    return old, new


def entry(found: Read) -> pb.RegisterEntry:
    """An entry of the log, and what it commits to."""
    return pb.RegisterEntry(index=found.index, entry=found.entry, salt=found.salt, body=found.body)


def page_message(found: Sequence[Read], size: int) -> pb.ListRegisterEntriesResponse:
    """A page of at most `size` entries, shortened to what fits; what was found beyond it says that others follow."""
    response, held = pb.ListRegisterEntriesResponse(), 0
    for item in found[:size]:
        message = entry(item)
        held += message.ByteSize()
        if held > MAX_PAGE_BYTES and response.entries:
            break
        response.entries.append(message)
    if len(response.entries) < len(found):
        response.next_page_token = b64url(str(found[len(response.entries)].index).encode("ascii"))
    return response


def _index(token: str) -> int | None:
    try:
        digits = unb64url(token).decode("ascii")
    except (FormatError, UnicodeError):
        return None
    return (int(digits) if _DIGITS.fullmatch(digits) else None) if digits else 0
