"""What is asked of the reader, and what is answered: consents, revisions and lists, for the portal or for a service.

Guarantees that a page token goes on only in the list it was given out for, and only for who got it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader

from services.consent.convert.consents import consent_message
from services.consent.convert.form import DIRECTIONS, PURPOSES, ROLES, Form, timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.pages import DEFAULT, MOST, Page, digest, read_token
from services.consent.domain.standing import Wanted
from services.consent.permitted import BEFORE, Line
from services.consent.reading import Revised, Viewer
from services.errors import AccordError, Reason

NOT_GIVEN_OUT = "is not one that was given out for this list"


@dataclass(frozen=True, slots=True)
class Listing:
    """Which consents are listed: of whom, for whom, and where the page begins."""

    address: c.Address
    viewer: Viewer
    page: Page


@dataclass(frozen=True, slots=True)
class Permits:
    """Who is listed: a patient's services (`address`), or a service's patients after one (`after`)."""

    address: c.Address | None
    after: c.Address
    viewer: Viewer
    wanted: Wanted
    page: Page


def viewer(role: int, service: str | None, form: Form) -> Viewer:
    """Who looks: `service` is the caller's id, None for the portal."""
    if service is None:
        return Viewer(role=form.member({0: c.HOLDER} | ROLES, role, "viewer", c.HOLDER))
    form.check(not role, "viewer", "is for the portal")
    return Viewer(f"services/{service}")


def consents(message: reader.ListConsentsRequest, service: str | None, names: Names) -> Listing:
    """A patient's consents. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    given, other = ("profile", "patient") if service is None else ("patient", "profile")
    form.check(bool(getattr(message, given)), given, "is required")
    form.check(not getattr(message, other), other, "is for other callers")
    looking = viewer(message.viewer, service, form)
    page = _page(message, form, (int, str), "consents", *_asker(looking), message.profile, message.patient)
    form.done()
    return Listing(_patient(message.profile, message.patient, looking, names), looking, page)


def _patient(profile: str, pseudonym: str, looking: Viewer, names: Names) -> c.Address:
    if not looking.service:
        return names.profile(profile)
    address = names.patient(looking.service, pseudonym)
    if address is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    return address


def revisions(message: reader.ListConsentRevisionsRequest, service: str | None) -> tuple[Viewer, Page]:
    """Which revisions of a consent, but for its name. Raises: AccordError FIELD_INVALID."""
    form = Form()
    looking = viewer(message.viewer, service, form)
    page = _page(message, form, (int,), "revisions", *_asker(looking), message.name)
    form.done()
    return looking, page


def permitted(message: reader.ListPermittedRequest, service: str | None, names: Names) -> Permits:
    """Who is permitted now. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    if service is None:
        form.check(bool(message.profile), "profile", "is required")
    else:
        form.check(not message.profile, "profile", "is for the portal")
    looking, wanted = viewer(message.viewer, service, form), _wanted(message, form)
    asked = (message.profile, str(message.direction), str(message.purpose), message.category)
    page = _page(message, form, (str,), "permitted", *_asker(looking), *asked)
    after: c.Address | None = c.Address(0, BEFORE)
    if looking.service and page.after:
        after = names.patient(looking.service, str(page.after[0]))
    form.check(after is not None, "page_token", NOT_GIVEN_OUT)
    form.done()
    address = names.profile(message.profile) if service is None else None
    return Permits(address, after or c.Address(0, BEFORE), looking, wanted, page)


def _wanted(message: reader.ListPermittedRequest, form: Form) -> Wanted:
    directions, purposes = {0: None} | DIRECTIONS, {0: None} | PURPOSES
    if message.category:
        form.categories([message.category], "category")
    return Wanted(
        form.member(directions, message.direction, "direction", None),
        form.member(purposes, message.purpose, "purpose", None),
        message.category,
    )


def _asker(looking: Viewer) -> tuple[str, str]:
    return looking.service, looking.role


def _page(message: Any, form: Form, position: tuple[type, ...], *asked: str) -> Page:
    form.check(0 <= message.page_size <= MOST, "page_size", f"must be 1 to {MOST}")
    list_ = digest(*asked)
    after = read_token(message.page_token, list_, position) if message.page_token else ()
    form.check(after is not None, "page_token", NOT_GIVEN_OUT)
    return Page(message.page_size or DEFAULT, list_, after or ())


def revision_message(item: Revised, names: Names) -> consent_pb2.ConsentRevision:
    """A revision for the wire."""
    snapshot = consent_message(item.consent, names)
    return consent_pb2.ConsentRevision(
        name=f"{snapshot.name}/revisions/{snapshot.revision}", snapshot=snapshot, create_time=timestamp(item.made_ms)
    )


def permitted_response(
    lines: Iterable[Line], token: str, looking: Viewer, names: Names
) -> reader.ListPermittedResponse:
    """The list: services for the portal, patients by their pseudonym for a service."""
    response = reader.ListPermittedResponse(next_page_token=token)
    for line in lines:
        item = response.items.add(consents=line.consents)
        if looking.service:
            item.patient = names.pseudonym(looking.service, line.address)
        else:
            item.service = line.service
    return response
