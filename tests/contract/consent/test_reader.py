"""What portal and services read of profiles and consents, a page at a time, and what they do not find."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_reader_service_pb2 as pb

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Limits, Quota
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.rights import Direction, Purpose, Scope
from tests.contract.consent.behind import change
from tests.support.ledgers import DAY_MS, HOLDER, NOTICE, RECIPIENT, SENDER, Bench, ins, query
from tests.support.readers import CALL, REPRESENTATIVE, Readers, calling
from tests.support.refused import reason_of

NARROW = Scope(frozenset({"class:10"}), frozenset({Direction.DEPOSIT}), frozenset({Purpose.CARE}))
PARENT = c.Actor(c.REPRESENTATIVE, "eidas2", "parent-1")
SECRET = Limits(secret=True)
UNKNOWN = "consents/" + "0" * 32


async def get(readers: Readers, name: str, **more: Any) -> consent_pb2.Consent:
    found: pb.GetConsentResponse = await readers.reader.GetConsent(pb.GetConsentRequest(name=name, **more), CALL)
    return found.consent


async def consents(readers: Readers, **asked: Any) -> pb.ListConsentsResponse:
    found: pb.ListConsentsResponse = await readers.reader.ListConsents(pb.ListConsentsRequest(**asked), CALL)
    return found


async def revisions(readers: Readers, name: str, **more: Any) -> pb.ListConsentRevisionsResponse:
    request = pb.ListConsentRevisionsRequest(name=name, **more)
    found: pb.ListConsentRevisionsResponse = await readers.reader.ListConsentRevisions(request, CALL)
    return found


def violations_of(error: AccordError) -> list[str]:
    return [item.field for item in error.violations]


async def minor(bench: Bench) -> c.Address:
    """A patient of sixteen, with a representative, paired with both services."""
    majority_ms = bench.clock.now_ms + 730 * DAY_MS
    address = await bench.open_profile(c.OpenProfile(ins(1), majority_ms=majority_ms))
    await bench.ledger.do(c.Represent(address, PARENT.person, True))
    for service in (SENDER, RECIPIENT):
        await bench.ledger.do(c.Pair(address, service))
    return address


async def test_a_service_reads_its_own_consents_and_finds_no_others(bench: Bench) -> None:
    readers = Readers(bench)
    name = readers.name(await bench.grant(await bench.patient(), SENDER))
    for caller in ("", SENDER):
        calling(caller)
        assert (await get(readers, name)).name == name
        assert (await get(readers, f"{name}/revisions/1")).name == name
        assert len((await revisions(readers, name)).revisions) == 1
    calling(RECIPIENT)
    for other in (name, UNKNOWN, f"{name}/revisions/1", f"{UNKNOWN}/revisions/1", "", "consents/x"):
        assert await reason_of(get(readers, other)) is Reason.RESOURCE_NOT_FOUND
    for other in (name, UNKNOWN):
        assert await reason_of(revisions(readers, other)) is Reason.RESOURCE_NOT_FOUND
    calling()
    for revision in ("2", "999999999"):
        assert await reason_of(get(readers, f"{name}/revisions/{revision}")) is Reason.RESOURCE_NOT_FOUND


async def test_a_state_is_the_clock_s_before_the_sweeper_has_been_there(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    given = await bench.grant(address, SENDER, days=1)
    bench.clock.now_ms = given.end_ms - 1
    assert (await get(readers, readers.name(given))).state == consent_pb2.CONSENT_STATE_ACTIVE
    bench.clock.now_ms = given.end_ms
    unswept = await get(readers, readers.name(given))
    assert (unswept.state, unswept.revision) == (consent_pb2.CONSENT_STATE_EXPIRED, 1)
    assert list((await consents(readers, profile=readers.profile(address))).consents) == [unswept]
    assert (await get(readers, unswept.name + "/revisions/1")).state == consent_pb2.CONSENT_STATE_ACTIVE


async def test_a_representative_s_consent_waits_from_majority_on(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await minor(bench)
    given = c.Grant(
        address=address,
        service=SENDER,
        scope=NARROW,
        start_ms=None,
        end_ms=bench.clock.now_ms + 1000 * DAY_MS,
        notice_sha256=NOTICE,
        actor=PARENT,
        request_id="request-by-parent",
        digest="1",
    )
    name = readers.name(await bench.ledger.do(given))
    assert (await get(readers, name)).state == consent_pb2.CONSENT_STATE_ACTIVE
    bench.clock.now_ms += 730 * DAY_MS
    unswept = await get(readers, name)
    assert (unswept.state, unswept.cause) == (consent_pb2.CONSENT_STATE_SUSPENDED, "majority")


async def test_consents_are_listed_newest_first_a_page_at_a_time(bench: Bench) -> None:
    """For the portal all of the patient's; three of them were given in one millisecond."""
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    given = []
    for place in range(7):
        bench.clock.now_ms += 1000 if place not in (3, 4) else 0
        given.append(readers.name(await bench.grant(address, (SENDER, RECIPIENT)[place % 2])))
    await bench.revoke(await bench.grant(await bench.patient(2), SENDER))
    profile, token = readers.profile(address), ""
    pages: list[list[str]] = []
    while token or not pages:
        page = await consents(readers, profile=profile, page_size=2, page_token=token)
        pages.append([item.name for item in page.consents])
        token = page.next_page_token
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    found = [name for page in pages for name in page]
    assert found == [given[6], given[5], *sorted(given[2:5], reverse=True), given[1], given[0]]
    assert [item.name for item in (await consents(readers, profile=profile)).consents] == found
    calling(SENDER)
    own = await consents(readers, patient=readers.names.pseudonym(SENDER, address))
    assert [item.name for item in own.consents] == [name for name in found if given.index(name) % 2 == 0]


async def test_a_service_lists_by_its_own_pseudonym_and_whatever_else_is_unknown(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.consenting()
    calling(RECIPIENT)
    others = (
        "0" * 32,
        "x",
        readers.names.pseudonym(SENDER, address),
        readers.names.pseudonym(RECIPIENT, c.Address(0, 1)),
    )
    for pseudonym in others:
        assert await reason_of(consents(readers, patient=pseudonym)) is Reason.RESOURCE_NOT_FOUND
    unpaired = await bench.open_profile(c.OpenProfile(ins(2)))
    own = readers.names.pseudonym(RECIPIENT, unpaired)
    assert await reason_of(consents(readers, patient=own)) is Reason.RESOURCE_NOT_FOUND


async def test_a_page_token_goes_on_in_its_own_list_alone(bench: Bench) -> None:
    readers = Readers(bench)
    address, other = await bench.consenting(), await bench.consenting(2)
    calling()
    profile = readers.profile(address)
    token = (await consents(readers, profile=profile, page_size=1)).next_page_token
    assert token
    bench.clock.now_ms += 1
    name = readers.name(await bench.grant(address, SENDER))

    async def refused(call: Callable[..., Any], *arguments: Any, **asked: Any) -> list[str]:
        with pytest.raises(AccordError) as caught:
            await call(readers, *arguments, **asked)
        return violations_of(caught.value)

    assert await refused(consents, profile=readers.profile(other), page_token=token) == ["page_token"]
    assert await refused(consents, profile=profile, viewer=REPRESENTATIVE, page_token=token) == ["page_token"]
    assert await refused(revisions, name, page_token=token) == ["page_token"]
    for text in ("x", token + "=", token[:-1], "é", "A" * 2000):
        assert await refused(consents, profile=profile, page_token=text) == ["page_token"]
    assert len((await consents(readers, profile=profile, page_size=2, page_token=token)).consents) == 1
    calling(SENDER)
    pseudonym = readers.names.pseudonym(SENDER, address)
    assert await refused(consents, patient=pseudonym, page_token=token) == ["page_token"]


@pytest.mark.parametrize(
    ("caller", "asked", "fields"),
    [
        ("", {}, ["profile"]),
        ("", {"profile": "profiles/x", "patient": "0" * 32}, ["patient"]),
        ("", {"profile": "profiles/x", "viewer": 99}, ["viewer"]),
        ("", {"profile": "profiles/x", "page_size": -1}, ["page_size"]),
        ("", {"profile": "profiles/x", "page_size": 101}, ["page_size"]),
        (SENDER, {}, ["patient"]),
        (SENDER, {"patient": "0" * 32, "profile": "profiles/x"}, ["profile"]),
        (SENDER, {"patient": "0" * 32, "viewer": REPRESENTATIVE}, ["viewer"]),
    ],
)
async def test_a_list_asked_for_wrongly_is_refused(
    bench: Bench, caller: str, asked: dict[str, Any], fields: list[str]
) -> None:
    readers = Readers(bench)
    calling(caller)
    with pytest.raises(AccordError) as caught:
        await consents(readers, **asked)
    assert violations_of(caught.value) == fields


async def test_what_a_minor_keeps_secret_does_not_exist_for_representatives(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await minor(bench)
    profile = readers.profile(address)
    given = [await bench.grant(address, SENDER, limits=limits) for limits in (Limits(), SECRET, Limits(), SECRET)]
    names = [readers.name(item) for item in given]
    seen = await consents(readers, profile=profile, viewer=REPRESENTATIVE, page_size=2)
    assert {item.name for item in seen.consents} == {names[0], names[2]}
    assert seen.next_page_token == "", "not even a page that would be empty"
    assert {item.name for item in (await consents(readers, profile=profile)).consents} == set(names)
    for name in (names[1], UNKNOWN, f"{names[1]}/revisions/1"):
        assert await reason_of(get(readers, name, viewer=REPRESENTATIVE)) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(revisions(readers, names[1], viewer=REPRESENTATIVE)) is Reason.RESOURCE_NOT_FOUND
    assert len((await revisions(readers, names[1])).revisions) == 1
    assert len((await revisions(readers, names[0], viewer=REPRESENTATIVE)).revisions) == 1
    assert (await get(readers, names[1])).limits.secret
    assert (await get(readers, names[0], viewer=REPRESENTATIVE)).name == names[0]
    calling(SENDER)
    assert (await get(readers, names[1])).limits.secret, "the service that holds it knows it"


async def test_a_revision_from_before_a_secret_is_as_hidden_as_the_secret(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await minor(bench)
    known = await bench.grant(address, SENDER)
    await bench.ledger.do(amendment(bench, known, SECRET))
    name = readers.name(known)
    assert await reason_of(get(readers, f"{name}/revisions/1", viewer=REPRESENTATIVE)) is Reason.RESOURCE_NOT_FOUND
    assert not (await get(readers, f"{name}/revisions/1")).limits.secret


async def test_nobody_looks_for_a_patient_of_age(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await minor(bench)
    name = readers.name(await bench.grant(address, SENDER))
    assert (await get(readers, name, viewer=REPRESENTATIVE)).name == name
    bench.clock.now_ms += 730 * DAY_MS
    assert await reason_of(get(readers, name, viewer=REPRESENTATIVE)) is Reason.STATE_CONFLICT
    asked = consents(readers, profile=readers.profile(address), viewer=REPRESENTATIVE)
    assert await reason_of(asked) is Reason.STATE_CONFLICT


def amendment(bench: Bench, known: c.Consent, limits: Limits, scope: Scope = NARROW) -> c.Amend:
    number = next(bench.ids)
    return c.Amend(
        shard=known.shard,
        consent=known.consent,
        scope=scope,
        end_ms=known.end_ms - 1,
        notice_sha256=NOTICE,
        limits=limits,
        actor=HOLDER,
        request_id=f"request-{number:08}",
        digest=str(number),
    )


async def test_each_revision_is_read_back_as_it_was_and_the_last_is_the_consent_itself(bench: Bench) -> None:
    """Granted, amended, suspended with the profile, resumed, withdrawn: platform and clock give nothing in their name."""
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    known = await bench.grant(address, SENDER)
    name, stood = readers.name(known), []

    async def note() -> None:
        stood.append((await get(readers, name), bench.clock.now_ms))
        bench.clock.now_ms += 1000

    await note()
    limits = Limits(quota=Quota(3, 60), exceptions=frozenset({"type:11488-4"}), data_from_ms=1000)
    await bench.ledger.do(amendment(bench, known, limits))
    await note()
    for move in (EntryType.PROFILE_SUSPENDED, EntryType.PROFILE_RESUMED):
        await bench.ledger.do(c.MoveProfile(address, move, c.Actor(c.PLATFORM, ""), "fraud"))
        await note()
    await bench.ledger.do(
        c.MoveConsent(known.shard, known.consent, ConsentState.REVOKED, replace(HOLDER, authentication="eidas3"))
    )
    await note()
    assert [consent.revision for consent, _ in stood] == [1, 2, 3, 4, 5]
    found = (await revisions(readers, name)).revisions
    assert [item.snapshot for item in found] == [consent for consent, _ in reversed(stood)]
    assert [item.create_time for item in found] == [timestamp(time_ms) for _, time_ms in reversed(stood)]
    assert [item.name for item in found] == [f"{name}/revisions/{number}" for number in (5, 4, 3, 2, 1)]
    for consent, _ in stood:
        assert await get(readers, f"{name}/revisions/{consent.revision}") == consent


async def test_revisions_are_listed_a_page_at_a_time(bench: Bench) -> None:
    """More of them than are read at once; each of the platform's belongs to the person's before it."""
    readers = Readers(bench)
    calling(SENDER)
    address = await bench.patient()
    known = await bench.grant(address, SENDER)
    for place in range(70):
        move = (EntryType.PROFILE_SUSPENDED, EntryType.PROFILE_RESUMED)[place % 2]
        await bench.ledger.do(c.MoveProfile(address, move, c.Actor(c.PLATFORM, ""), "drill"))
    pages, token = list[Any](), ""
    while token or not pages:
        page = await revisions(readers, readers.name(known), page_size=30, page_token=token)
        pages.append(page.revisions)
        token = page.next_page_token
    assert [len(page) for page in pages] == [30, 30, 11]
    assert [item.snapshot.revision for page in pages for item in page] == list(range(71, 0, -1))
    assert {item.snapshot.actor.authentication for page in pages for item in page} == {"eidas2"}


async def test_a_revision_that_was_erased_is_not_read_back(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    name = readers.name(await bench.grant(await bench.patient(), SENDER))
    change(bench, "UPDATE data_key SET use = 9 WHERE use = 0 AND year > 0 AND patient > 0")
    assert await reason_of(get(readers, f"{name}/revisions/1")) is Reason.STATE_CONFLICT
    assert await reason_of(revisions(readers, name)) is Reason.STATE_CONFLICT


async def test_nothing_is_found_of_an_erased_patient(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    name = readers.name(await bench.grant(address, SENDER))
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, HOLDER))
    await bench.ledger.do(c.Erase(address, "gdpr_17", traces_too=False))
    for lost in (get(readers, name), revisions(readers, name), consents(readers, profile=readers.profile(address))):
        assert await reason_of(lost) is Reason.RESOURCE_NOT_FOUND
    profile = await readers.reader.GetProfile(pb.GetProfileRequest(profile=readers.profile(address)), CALL)
    assert profile.profile.state == consent_pb2.PROFILE_STATE_ERASED
    calling(SENDER)
    own = readers.names.pseudonym(SENDER, address)
    assert await reason_of(consents(readers, patient=own)) is Reason.RESOURCE_NOT_FOUND


async def test_a_profile_is_read_with_its_dates(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    majority_ms = bench.clock.now_ms + DAY_MS
    opened = c.OpenProfile(ins(1), opt_out=True, majority_ms=majority_ms)
    profile = await bench.across.open_profile(opened)
    name = readers.profile(profile.address)
    found = (await readers.reader.GetProfile(pb.GetProfileRequest(profile=name), CALL)).profile
    assert found == consent_pb2.Profile(
        name=name,
        state=consent_pb2.PROFILE_STATE_INFORMED,
        open_time=timestamp(bench.clock.now_ms + 42 * DAY_MS),
        majority_time=timestamp(majority_ms),
    )
    for unknown in ("", "profiles/" + "0" * 32, readers.profile(c.Address(0, 1)), readers.profile(c.Address(9, 1))):
        asked = readers.reader.GetProfile(pb.GetProfileRequest(profile=unknown), CALL)
        assert await reason_of(asked) is Reason.RESOURCE_NOT_FOUND


async def test_reading_writes_nothing(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.consenting()
    await bench.authorize(query(address))
    before = len(bench.entries())
    calling()
    listed = await consents(readers, profile=readers.profile(address))
    for item in listed.consents:
        await revisions(readers, item.name)
    assert len(bench.entries()) == before
