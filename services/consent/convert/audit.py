"""What auditors ask for and get, on the wire. A page token names a place and the question it answers, and fits no other."""

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

from accord.consent.v1 import audit_service_pb2 as pb
from accord.consent.v1 import ledger_pb2
from accord.errors.v1 import error_reason_pb2

from services.consent.audit import Part
from services.consent.convert.decisions import proven
from services.consent.convert.form import WORD, Form, enum_name
from services.consent.convert.names import Names
from services.consent.domain.searching import Count, Filter, Page, Place, Search
from services.consent.domain.values import Address
from services.consent.proofs import Proven, Sealed
from services.errors import AccordError, Reason
from services.formats.canonical import HEX_32, MAX_INTEGER, FormatError
from services.formats.entry import EntryType
from services.formats.jwk import b64url, unb64url

DEFAULT_PAGE, MAX_PAGE = 100, 500
MAX_TYPES = 40
_TYPES = {type_.value: type_ for type_ in EntryType}
_PLACE = struct.Struct(">8sHIqq")
"""The question's digest, shard, epoch, index, end."""


def listing(message: pb.ListEntriesRequest) -> tuple[str, Place | None, int]:
    """Origin, place and limit of a page of a log. Raises: AccordError FIELD_INVALID."""
    form = Form()
    limit, place = _limit(message.page_size, form), _place(message, form)
    form.done()
    return message.origin, place, limit


def search(message: pb.SearchEntriesRequest, names: Names) -> Search:
    """A page of a search. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form, bounded = Form(), bool(message.start_index or message.end_index)
    limit, place = _limit(message.page_size, form), _place(message, form)
    form.check(bool(message.origin) or not bounded, "origin", "is required with indices")
    form.check(0 <= message.start_index <= MAX_INTEGER, "start_index", "must be 0 to 2^53 - 1")
    after = message.start_index < message.end_index <= MAX_INTEGER
    form.check(after or not message.end_index, "end_index", "must be after start_index")
    filter_ = _filter(message.filter, names, form)
    return Search(filter_, limit, message.origin, message.start_index, message.end_index or None, place)


def statistics(message: pb.GetStatisticsRequest, names: Names) -> Filter:
    """What to count. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    return _filter(message.filter, names, Form())


def _filter(message: pb.EntryFilter, names: Names, form: Form) -> Filter:
    service = form.service(message.service, "filter.service") if message.service else ""
    form.check(bool(service) or not message.patient, "filter.service", "is required with patient")
    if message.actor:
        form.text(message.actor, WORD, "filter.actor")
    types = list(message.types)
    form.check(len(types) <= MAX_TYPES, "filter.types", f"holds more than {MAX_TYPES} items")
    form.check(all(item in _TYPES for item in types), "filter.types", "holds an unknown type")
    reason = enum_name(error_reason_pb2.ErrorReason, "ERROR_REASON_", message.reason) if message.reason else ""
    form.check(not message.reason or reason in Reason.__members__, "filter.reason", "must be known")
    start_ms, end_ms = (form.optional_instant(message, name, "filter") for name in ("start_time", "end_time"))
    form.check(start_ms is None or end_ms is None or start_ms < end_ms, "filter.end_time", "must be after start_time")
    exchange = form.text(message.exchange, HEX_32, "filter.exchange") if message.exchange else ""
    form.done()
    return Filter(
        patient=_patient(service, message.patient, names) if message.patient else None,
        profile=names.profile(message.profile) if message.profile else None,
        service=service,
        actor=message.actor,
        types=frozenset(_TYPES[item] for item in types),
        reason=Reason[reason] if reason else None,
        start_ms=start_ms,
        end_ms=end_ms,
        consent=names.consent(message.consent) if message.consent else None,
        consent_name=message.consent,
        exchange=exchange,
    )


def _patient(service: str, pseudonym: str, names: Names) -> Address:
    found = names.patient(service, pseudonym)
    if found is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    return found


def _limit(page_size: int, form: Form) -> int:
    form.check(0 <= page_size <= MAX_PAGE, "page_size", f"must be 1 to {MAX_PAGE}")
    return page_size or DEFAULT_PAGE


def _question(message: Any) -> bytes:
    """What a page and the next have in common: all of the request but size and token."""
    question = type(message)()
    question.CopyFrom(message)
    question.ClearField("page_size")
    question.ClearField("page_token")
    return hashlib.sha256(question.SerializeToString(deterministic=True)).digest()[:8]


def _place(message: Any, form: Form) -> Place | None:
    if not message.page_token:
        return None
    try:
        question, *place = _PLACE.unpack(unb64url(message.page_token))
    except (FormatError, struct.error):
        question, place = b"", [0, 0, 0, 0]
    form.check(question == _question(message), "page_token", "is not one that was given out for this question")
    return Place(*place)


def _token(message: Any, place: Place | None) -> str:
    if place is None:
        return ""
    return b64url(_PLACE.pack(_question(message), place.shard, place.epoch, place.index, place.end))


def listed(
    message: pb.ListEntriesRequest, first: int, entries: list[bytes], place: Place | None
) -> pb.ListEntriesResponse:
    """A page of a log for the wire."""
    return pb.ListEntriesResponse(entries=entries, first_index=first, next_page_token=_token(message, place))


def found(message: pb.SearchEntriesRequest, page: Page) -> pb.SearchEntriesResponse:
    """A page of a search for the wire."""
    items = (
        pb.SearchEntriesResponse.Item(origin=item.origin, index=item.index, entry=item.entry) for item in page.items
    )
    return pb.SearchEntriesResponse(items=items, next_page_token=_token(message, page.place))


def counts(items: Iterable[Count]) -> pb.GetStatisticsResponse:
    """Counts for the wire."""
    return pb.GetStatisticsResponse(counts=map(_count, items))


def _count(item: Count) -> pb.GetStatisticsResponse.Count:
    reason = f"ERROR_REASON_{item.reason or 'UNSPECIFIED'}"
    return pb.GetStatisticsResponse.Count(
        type=item.type,
        reason=error_reason_pb2.ErrorReason.Value(reason),
        month=item.month,
        service=item.service,
        count=item.count,
    )


def entry(item: Proven, facts: Sealed | None) -> pb.GetEntryResponse:
    """A proven entry for the wire, and what it rested on."""
    return pb.GetEntryResponse(entry=proven(item), facts=_opening(facts))


def part(item: Part) -> pb.ExportEntriesResponse:
    """A part of an export for the wire."""
    items = (
        pb.ExportEntriesResponse.Item(entry=each.entry, opening=_opening(each.opening), facts=_opening(each.facts))
        for each in item.items
    )
    return pb.ExportEntriesResponse(
        checkpoint=item.checkpoint, first_index=item.first, items=items, records=item.records
    )


def _opening(sealed: Sealed | None) -> ledger_pb2.Opening | None:
    return ledger_pb2.Opening(salt=sealed[0], body=sealed[1]) if sealed is not None else None
