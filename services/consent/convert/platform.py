"""What the platform's operator asks for, and the portal's assertions as the wire has them."""

import re
from collections.abc import Callable

from accord.consent.v1 import platform_service_pb2 as pb

from services.consent.convert.form import PERSON, WORD, Form, timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.asserted import Asserted, AssertionFilter, Place
from services.consent.domain.pages import Page, digest, read_token
from services.consent.platform import Cursor
from services.formats.entry import EntryType

MAX_JUSTIFICATION = 200
DEFAULT_PAGE, MAX_PAGE = 100, 500
MIN_YEAR, MAX_YEAR = 2000, 9998
"""Years that an entry can bear, and that have one after them."""
_KID = re.compile(r"[A-Za-z0-9_-]{43}")
_OPERATOR = c.Actor(c.PLATFORM, "")
PersonHash = Callable[[str], str]


def suspension(message: pb.SuspendProfileRequest, names: Names) -> c.MoveProfile:
    """A profile to suspend. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    why = justification(message.justification)
    return c.MoveProfile(names.profile(message.profile), EntryType.PROFILE_SUSPENDED, _OPERATOR, why)


def resumption(message: pb.ResumeProfileRequest, names: Names) -> c.MoveProfile:
    """A profile to resume. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    why = justification(message.justification)
    return c.MoveProfile(names.profile(message.profile), EntryType.PROFILE_RESUMED, _OPERATOR, why)


def justification(text: str) -> str:
    """Why the platform acts. Raises: AccordError FIELD_INVALID."""
    form = Form()
    form.check(0 < len(text) <= MAX_JUSTIFICATION, "justification", f"needs 1 to {MAX_JUSTIFICATION} characters")
    form.done()
    return text


def erasure(message: pb.ErasePatientRequest, names: Names) -> c.Erase:
    """A patient to erase. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    basis = form.text(message.legal_basis, WORD, "legal_basis")
    form.done()
    return c.Erase(names.profile(message.profile), basis, message.traces_too)


def retention(message: pb.ApplyRetentionRequest) -> tuple[int, str]:
    """(year, legal basis). Raises: AccordError FIELD_INVALID."""
    form = Form()
    form.check(MIN_YEAR <= message.year <= MAX_YEAR, "year", f"must be {MIN_YEAR} to {MAX_YEAR}")
    basis = form.text(message.legal_basis, WORD, "legal_basis")
    form.done()
    return message.year, basis


def wanted(message: pb.AssertionFilter, person_hash: PersonHash) -> AssertionFilter:
    """Which assertions. Raises: AccordError FIELD_INVALID."""
    form = Form()
    found = _filter(message, person_hash, form)
    form.done()
    return found


def _filter(message: pb.AssertionFilter, person_hash: PersonHash, form: Form) -> AssertionFilter:
    form.check(bool(message.person or message.kid), "filter", "needs a person or a key")
    if message.person:
        form.text(message.person, PERSON, "filter.person")
    if message.kid:
        form.text(message.kid, _KID, "filter.kid")
    for name in ("start_time", "end_time"):
        form.check(message.HasField(name), f"filter.{name}", "is required")
    start_ms, end_ms = (form.instant(getattr(message, name), f"filter.{name}") for name in ("start_time", "end_time"))
    return AssertionFilter(person_hash(message.person), message.kid, start_ms, end_ms)


def page(message: pb.ListAssertionsRequest, person_hash: PersonHash) -> tuple[AssertionFilter, Page]:
    """Which assertions, and which page of them. Raises: AccordError FIELD_INVALID."""
    form = Form()
    found = _filter(message.filter, person_hash, form)
    form.check(0 <= message.page_size <= MAX_PAGE, "page_size", f"must be 1 to {MAX_PAGE}")
    asked = digest(found.person, found.kid, str(found.from_ms), str(found.until_ms))
    after = read_token(message.page_token, asked, (int, int, int, int)) if message.page_token else ()
    form.check(after is not None, "page_token", "is not one that was given out for this list")
    form.done()
    return found, Page(message.page_size or DEFAULT_PAGE, asked, after or ())


def cursor(page: Page) -> Cursor:
    """Where a page begins."""
    if not page.after:
        return 0, None
    shard, *place = map(int, page.after)
    return shard, Place(*place)


def assertions_message(
    items: list[Asserted], following: Cursor | None, page: Page, names: Names
) -> pb.ListAssertionsResponse:
    """A page for the wire."""
    found = [
        pb.ListAssertionsResponse.Item(
            consent=names.consent_name(item.shard, item.consent),
            origin=item.origin,
            index=item.place.index,
            time=timestamp(item.place.time_ms),
            kid=item.kid,
        )
        for item in items
    ]
    token = ""
    if following is not None and following[1] is not None:
        place = following[1]
        token = page.following(following[0], place.time_ms, place.epoch, place.index)
    return pb.ListAssertionsResponse(items=found, next_page_token=token)
