"""Searching and counting the log by its index: everything that matches, nothing else, in order, whatever the page."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from accord.consent.v1 import audit_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from services.consent import indexing, searching
from services.consent.domain import commands as c
from services.consent.indexing import Indexer
from services.consent.store import traces
from services.consent.store.traces import Log, Scan
from services.errors import AccordError, Reason
from services.formats.entry import Entry, EntryType
from services.formats.times import text_of
from tests.contract.consent.behind import everything, rows
from tests.support.auditing import CONTEXT, Auditing
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, build, outcome, query
from tests.support.refused import reason_of

Matches = Callable[[Entry], bool]


@pytest.fixture
async def auditing(sharded: Bench) -> AsyncIterator[Auditing]:
    made = Auditing(sharded)
    yield made
    await made.close()


@pytest.fixture
async def single(bench: Bench) -> AsyncIterator[Auditing]:
    made = Auditing(bench)
    yield made
    await made.close()


async def lived(bench: Bench, patients: int = 6) -> list[c.Address]:
    """Patients who consent, exchange, withdraw, and a stranger who is refused; a month passes in between."""
    addresses = [await bench.patient(number) for number in range(1, patients + 1)]
    for address in addresses:
        for service in (SENDER, RECIPIENT):
            await bench.grant(address, service, days=300)
    for number, address in enumerate(addresses):
        exchange = bench.exchange()
        decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (), "t" * 43))
        await bench.ledger.record_outcome(outcome(decision, exchange))
        if number % 2:
            await bench.authorize(query(address, categories=frozenset({"class:44"})))
        bench.clock.now_ms += 11 * DAY_MS
    await bench.authorize(query(None))
    return addresses


def stamp(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def concerns(service: str) -> Matches:
    return lambda entry: service in (entry.service, entry.counterparty)


CASES: list[tuple[dict[str, Any], Matches]] = [
    ({}, lambda _: True),
    ({"service": SENDER}, concerns(SENDER)),
    ({"service": RECIPIENT}, concerns(RECIPIENT)),
    ({"service": "services/nobody"}, lambda _: False),
    ({"actor": "broker"}, lambda entry: entry.actor == "broker"),
    ({"types": ["exchange.denied", "consent.granted"]}, lambda entry: entry.type in ("exchange.denied", "consent.granted")),
    ({"reason": error_reason_pb2.ERROR_REASON_CATEGORY_NOT_GRANTED}, lambda entry: entry.reason == "CATEGORY_NOT_GRANTED"),
    ({"start_time": stamp(NOW_MS + 11 * DAY_MS)}, lambda entry: entry.time_ms >= NOW_MS + 11 * DAY_MS),
    ({"end_time": stamp(NOW_MS + 11 * DAY_MS)}, lambda entry: entry.time_ms < NOW_MS + 11 * DAY_MS),
    ({"start_time": stamp(NOW_MS + 900 * DAY_MS)}, lambda _: False),
    ({"service": SENDER, "types": ["exchange.outcome"], "actor": "broker"}, lambda entry: entry.type == "exchange.outcome"),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 4, 500])
@pytest.mark.parametrize(("asked", "matches"), CASES)
async def test_a_search_finds_exactly_what_matches_in_log_order(
    auditing: Auditing, asked: dict[str, Any], matches: Matches, size: int
) -> None:
    await lived(auditing.bench, 3)
    before = len(auditing.every())
    pages = await auditing.pages(size, **asked)
    found = [item for page in pages for item in page]
    # Its own pages are on the record: they too match, where audit.read does.
    expected = [item for item in auditing.every() if matches(item[2])]
    old = [item for item in expected if item[2].type is not EntryType.AUDIT_READ]
    assert [item for item in found if item[2].type is not EntryType.AUDIT_READ] == old
    assert set(found) <= set(expected)
    assert all(len(page) <= size for page in pages)
    assert found == sorted(found, key=lambda item: (item[0], item[1]))
    assert len(auditing.every()) == before + len(pages)


async def test_a_patient_is_found_by_service_and_by_profile_and_nobody_else_is(auditing: Auditing) -> None:
    addresses = await lived(auditing.bench)
    every = auditing.every()
    for address in addresses:
        pseudonym = auditing.names.pseudonym(SENDER, address)
        (subject,) = {entry.subject for _, _, entry in every if entry.type is EntryType.EXCHANGE_AUTHORIZED} & {
            row.subject for row in rows(auditing.bench, "pairing") if row.patient == address.patient
        }
        paired = [(origin, index) for origin, index, entry in every if entry.subject == subject]
        assert await auditing.found(patient=pseudonym, service=SENDER) == paired
        whole = await auditing.found(profile=auditing.names.profile_name(address))
        assert set(whole) > set(paired)
        kinds = Counter(auditing.bench.entries(address.shard)[index].type for _, index in whole)
        assert kinds[EntryType.PROFILE_OPENED] == 1
        assert kinds[EntryType.PAIRING_CREATED] == kinds[EntryType.CONSENT_GRANTED] == 2


async def test_the_record_of_a_search_for_a_patient_holds_the_subjects_and_not_the_pseudonym(single: Auditing) -> None:
    (address,) = await lived(single.bench, 1)
    pseudonym, profile = single.names.pseudonym(SENDER, address), single.names.profile_name(address)
    await single.found(patient=pseudonym, service=SENDER, types=["consent.granted"])
    read = single.bench.opened(len(single.bench.entries()) - 1)
    subject = single.bench.entries()[-2].subject or next(
        entry.subject for entry in single.bench.entries() if entry.type is EntryType.EXCHANGE_AUTHORIZED
    )
    assert read == {
        "method": "SearchEntries",
        "asked": {"by": "patient", "service": SENDER, "types": "consent.granted", "subjects": subject},
    }
    await single.found(profile=profile)
    read = single.bench.opened(len(single.bench.entries()) - 1)
    assert len(read["asked"]["subjects"].split(",")) == 3
    assert pseudonym not in str(read)
    assert profile.partition("/")[2] not in str(read)


async def test_a_consent_is_found_in_what_made_it_and_in_every_exchange_that_rested_on_it(auditing: Auditing) -> None:
    """The recipient's too, which stands in exchanges under the sender's subject."""
    bench = auditing.bench
    address, other = await bench.patient(1), await bench.consenting(2)
    granted = {service: await bench.grant(address, service) for service in (SENDER, RECIPIENT)}
    await bench.authorize(query(address))
    await bench.authorize(query(other))
    await bench.revoke(granted[RECIPIENT])
    await bench.authorize(query(address))
    name = auditing.names.consent_name(address.shard, granted[RECIPIENT].consent)
    kinds = [entry.type for page in await auditing.pages(1, consent=name) for _, _, entry in page]
    assert kinds == [
        EntryType.CONSENT_GRANTED,
        EntryType.EXCHANGE_AUTHORIZED,
        EntryType.CONSENT_REVOKED,
        EntryType.EXCHANGE_DENIED,
    ]
    counts = await auditing.counted(consent=name)
    assert {(type_, count) for (_, _, type_, _), count in counts.items()} == {(kind.value, 1) for kind in kinds}


@pytest.mark.parametrize("size", [1, 500])
async def test_an_exchange_is_found_whatever_became_of_it(auditing: Auditing, size: int) -> None:
    bench = auditing.bench
    address = await bench.patient()
    authorized, denied, refused = (bench.exchange() for _ in range(3))
    stranger = query(None)
    for asked in (stranger, query(address)):
        await bench.ledger.authorize(c.Authorize(asked, authorized, (), "t" * 43))
    for service in (SENDER, RECIPIENT):
        await bench.grant(address, service)
    decision = await bench.ledger.authorize(c.Authorize(query(address), authorized, (), "t" * 43))
    await bench.ledger.record_outcome(outcome(decision, authorized))
    await bench.ledger.authorize(c.Authorize(stranger, denied, (), "t" * 43))
    await bench.ledger.do(c.RecordRefusal(SENDER, None, refused, Reason.DOCUMENT_MALFORMED))
    every = auditing.every()
    for exchange, count in ((authorized, 4), (denied, 1), (refused, 1), ("0" * 64, 0)):
        expected = [(origin, index) for origin, index, entry in every if entry.exchange == exchange]
        assert await auditing.found(size, exchange=exchange) == expected
        assert len(expected) == count
    assert await auditing.found(exchange=authorized, types=["consent.granted"]) == []


async def test_one_log_is_searched_between_two_indices(auditing: Auditing) -> None:
    await lived(auditing.bench, 4)
    log = auditing.bench.logs[auditing.bench.ledger.route(None, SENDER)].origin
    found = await auditing.found(2, origin=log, start_index=1, end_index=4)
    assert found == [(log, index) for index in range(1, min(4, len(auditing.bench.entries(int(log[-1])))))]


async def test_a_log_of_audit_reads_alone_is_searched_to_an_end(single: Auditing) -> None:
    """Each page adds an entry that matches: the search ends where the log ended when it came to it."""
    await lived(single.bench, 1)
    assert (
        len(await single.found(1, origin=single.origin))
        == len(single.bench.entries())
        - len([entry for entry in single.bench.entries() if entry.type is EntryType.AUDIT_READ])
        + 1
    )


async def test_a_look_is_bounded_and_says_where_to_go_on(auditing: Auditing, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived(auditing.bench)
    types = ["exchange.denied"]
    whole = await auditing.found(types=types)
    exchange = auditing.bench.entries(int(whole[0][0][-1]))[whole[0][1]].exchange
    named = await auditing.found(exchange=exchange)
    monkeypatch.setattr(searching, "LOOK", 3)
    monkeypatch.setattr(searching, "RESIDUE", 2)
    monkeypatch.setattr(searching, "CHUNK", 2)
    pages = await auditing.pages(types=types)
    assert [(origin, index) for page in pages for origin, index, _ in page] == whole
    assert [] in pages
    assert await auditing.found(exchange=exchange) == named
    assert len(await auditing.pages(exchange=exchange)) > 1
    assert await auditing.counted(exchange=exchange)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"page_size": 501}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "AAAA"}, "page_token"),
        ({"start_index": 1}, "origin"),
        ({"origin": "o", "start_index": 2, "end_index": 2}, "end_index"),
        ({"filter": pb.EntryFilter(patient="0" * 32)}, "filter.service"),
        ({"filter": pb.EntryFilter(service="lumen")}, "filter.service"),
        ({"filter": pb.EntryFilter(types=["exchange.sent"])}, "filter.types"),
        ({"filter": pb.EntryFilter(types=["audit.read"] * 41)}, "filter.types"),
        ({"filter": pb.EntryFilter(reason=9999)}, "filter.reason"),  # type: ignore[arg-type]
        ({"filter": pb.EntryFilter(actor="Broker")}, "filter.actor"),
        ({"filter": pb.EntryFilter(exchange="e")}, "filter.exchange"),
        ({"filter": pb.EntryFilter(start_time=stamp(2), end_time=stamp(2))}, "filter.end_time"),
    ],
)
async def test_a_question_that_is_none_is_refused_and_not_recorded(
    single: Auditing, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(AccordError) as caught:
        await single.rpcs.SearchEntries(pb.SearchEntriesRequest(**asked), CONTEXT)
    assert [item.field for item in caught.value.violations] == [field]
    assert single.bench.entries() == ()


async def test_a_token_fits_no_other_question(single: Auditing) -> None:
    await lived(single.bench, 1)
    asked = pb.SearchEntriesRequest(filter=pb.EntryFilter(service=SENDER), page_size=1)
    asked.page_token = (await single.rpcs.SearchEntries(asked, CONTEXT)).next_page_token
    asked.page_size = 7
    await single.rpcs.SearchEntries(asked, CONTEXT)
    asked.filter.service = RECIPIENT
    assert await reason_of(single.rpcs.SearchEntries(asked, CONTEXT)) is Reason.FIELD_INVALID
    listing = pb.ListEntriesRequest(origin=single.origin, page_token=asked.page_token)
    assert await reason_of(single.rpcs.ListEntries(listing, CONTEXT)) is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "unknown",
    [
        {"patient": "0" * 32, "service": SENDER},
        {"profile": "profiles/" + "0" * 32},
        {"consent": "consents/" + "0" * 32},
    ],
)
async def test_who_and_what_was_never_named_is_not_found(single: Auditing, unknown: dict[str, Any]) -> None:
    assert await reason_of(single.found(**unknown)) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(single.found(origin="another.example/ledger/1/0")) is Reason.RESOURCE_NOT_FOUND


async def test_counts_are_those_of_the_entries_by_month_service_type_and_reason(auditing: Auditing) -> None:
    await lived(auditing.bench)
    counts = await auditing.counted()
    expected = Counter(
        (
            text_of(entry.time_ms)[:7],
            entry.service,
            entry.type.value,
            error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{entry.reason.value if entry.reason else 'UNSPECIFIED'}"),
        )
        for _, _, entry in auditing.every()
    )
    assert counts == expected
    assert list(counts) == sorted(counts, key=lambda key: key[:3])
    assert len({month for month, *_ in counts}) > 2
    some = await auditing.counted(service=RECIPIENT, start_time=stamp(NOW_MS + DAY_MS))
    assert sum(some.values()) == sum(
        RECIPIENT in (entry.service, entry.counterparty) and entry.time_ms >= NOW_MS + DAY_MS
        for _, _, entry in auditing.every()
    )


async def test_two_processes_index_one_log_at_once_and_then_from_the_beginning(
    single: Auditing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "BATCH", 3)
    await lived(single.bench, 4)
    other = Indexer(single.bench.database)
    logs = single.indexer.logs()
    await asyncio.gather(*(indexer.catch_up(logs) for indexer in (single.indexer, other) * 3))
    made = rows(single.bench, "trace")
    assert [row.idx for row in made] == list(range(len(single.bench.entries())))
    before = everything(single.bench)
    await single.indexer.rebuild(logs[0])
    assert everything(single.bench) == before
    await other.close()


async def test_an_index_goes_on_where_another_process_stopped(database_url: str) -> None:
    first = build(database_url)
    await lived(first, 2)
    auditing = Auditing(first)
    await auditing.found()
    await auditing.close()
    size = len(first.entries())
    await first.close()
    second = Auditing(build(database_url, clock=first.clock))
    assert len(rows(second.bench, "trace")) == size
    assert len(await second.found()) == size + 1
    await second.close()
    await second.bench.close()


@pytest.mark.parametrize(
    ("scan", "indices"),
    [
        ({"subjects": ("a" * 64, "b" * 64)}, ["trace_by_subject"] * 2),
        ({"subjects": ("a" * 64,), "service": SENDER, "types": frozenset({"exchange.denied"})}, ["trace_by_subject"]),
        ({"subjects": ("a" * 64,), "actor": "broker", "reason": "CONSENT_MISSING"}, ["trace_by_subject"]),
        ({"service": SENDER, "types": frozenset({"exchange.denied"}), "reason": "X"}, ["trace_by_service", ""]),
        ({}, ["trace_pkey"]),
    ],
)
async def test_a_search_walks_along_an_index_and_sorts_nothing(
    bench: Bench, scan: dict[str, Any], indices: list[str]
) -> None:
    """So a page costs what it holds, whatever the size of the log."""
    log = Log("", 0, 1, 10**9)
    with bench.database.read() as connection:
        dialect = connection.dialect
        if dialect.name == "postgresql":  # on an empty table nothing else is cheaper than to read it whole
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        explain = "EXPLAIN QUERY PLAN " if dialect.name == "sqlite" else "EXPLAIN "
        plans = []
        for walk in traces.walks(Scan(log, 5, 10**9, **scan), 100):
            statement = walk.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            plans.append(" ".join(str(row) for row in connection.exec_driver_sql(f"{explain}{statement}")))
    names = ["PRIMARY KEY" if name == "trace_pkey" and dialect.name == "sqlite" else name for name in indices]
    assert [name in plan for name, plan in zip(names, plans, strict=True)] == [True] * len(indices), plans
    assert not any("SCAN" in plan or "TEMP B-TREE" in plan or "Sort" in plan for plan in plans), plans
