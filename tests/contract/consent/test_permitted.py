"""Who may access whom now: a patient's services for the portal, a service's own patients for that service."""

from typing import Any

import pytest
from accord.consent.v1 import consent_reader_service_pb2 as pb
from accord.registry.v1 import registry_pb2

from services.consent import permitted
from services.consent.domain import commands as c
from services.consent.domain.decision import Permit
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Effect, Limits, Quota
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.lease import Status
from services.formats.rights import Direction, Purpose, Scope
from tests.support.ledgers import DAY_MS, EVERYTHING, HOLDER, RECIPIENT, SENDER, Bench, convention, ins, query, record
from tests.support.readers import CALL, REPRESENTATIVE, Readers, calling
from tests.support.refused import reason_of

CARE = Scope(frozenset({"class:10"}), frozenset({Direction.DEPOSIT}), frozenset({Purpose.CARE}))
PREVENTION = Scope(frozenset({"class:42"}), frozenset({Direction.READ}), frozenset({Purpose.PREVENTION}))
REPORT = "type:11488-4"


async def listed(readers: Readers, **asked: Any) -> pb.ListPermittedResponse:
    found: pb.ListPermittedResponse = await readers.reader.ListPermitted(pb.ListPermittedRequest(**asked), CALL)
    return found


async def services(readers: Readers, address: c.Address, **asked: Any) -> dict[str, list[str]]:
    """The portal's list: consents by service."""
    calling()
    found = await listed(readers, profile=readers.profile(address), **asked)
    assert all(not item.patient for item in found.items)
    return {item.service: list(item.consents) for item in found.items}


async def patients(readers: Readers, service: str, size: int = 100, **asked: Any) -> dict[str, list[str]]:
    """All pages of a service's list: consents by pseudonym."""
    calling(service)
    found: dict[str, list[str]] = {}
    token, turns = "", 0
    while token or not turns:
        page = await listed(readers, page_size=size, page_token=token, **asked)
        assert len(page.items) <= size
        assert not {item.patient for item in page.items} & set(found), "nobody twice"
        assert all(not item.service for item in page.items)
        found |= {item.patient: list(item.consents) for item in page.items}
        token, turns = page.next_page_token, turns + 1
    return found


async def test_the_portal_sees_the_services_that_may_access_and_by_which_consents(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.patient()
    assert await services(readers, address) == {}
    given = [await bench.grant(address, SENDER), await bench.grant(address, RECIPIENT, CARE)]
    over = await bench.grant(address, SENDER)
    await bench.revoke(over)
    names = [readers.name(item) for item in given]
    assert await services(readers, address) == {SENDER: [names[0]], RECIPIENT: [names[1]]}
    assert await reason_of(services(readers, c.Address(0, 1))) is Reason.RESOURCE_NOT_FOUND


async def test_a_filter_leaves_what_would_carry_exactly_that(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.patient()
    care = readers.name(await bench.grant(address, SENDER, CARE))
    prevention = readers.name(await bench.grant(address, SENDER, PREVENTION))

    async def consents(**asked: Any) -> set[str]:
        return set((await services(readers, address, **asked)).get(SENDER, []))

    assert await consents() == {care, prevention}
    assert await consents(direction=registry_pb2.DIRECTION_DEPOSIT) == {care}
    assert await consents(purpose=registry_pb2.PURPOSE_PREVENTION) == {prevention}
    assert await consents(category="class:42") == {prevention}
    assert await consents(category=REPORT) == {care}, "a class covers its types"
    assert await consents(category="class:11") == set()
    assert await consents(direction=registry_pb2.DIRECTION_DEPOSIT, purpose=registry_pb2.PURPOSE_PREVENTION) == set()


async def test_nothing_is_listed_that_no_rule_would_let_through(bench: Bench) -> None:
    """Suspended, ended, to come, used up; then the profile, the convention and the referencing."""
    readers = Readers(bench)
    address = await bench.patient()
    lasting = await bench.grant(address, SENDER)
    paused = await bench.grant(address, SENDER)
    await bench.ledger.do(c.MoveConsent(paused.shard, paused.consent, ConsentState.SUSPENDED, HOLDER))
    await bench.grant(address, SENDER, start_ms=bench.clock.now_ms + DAY_MS)
    await bench.grant(address, SENDER, days=1)
    once = await bench.grant(address, RECIPIENT, limits=Limits(quota=Quota(1)))
    name = readers.name(lasting)
    assert readers.name(once) in (await services(readers, address))[RECIPIENT]
    assert (await bench.authorize(query(address))).permit is not None
    bench.clock.now_ms += DAY_MS - 1
    assert await services(readers, address) == {SENDER: [name]}
    own = readers.names.pseudonym(SENDER, address)
    assert await patients(readers, SENDER) == {own: [name]}
    for records in (
        [record(RECIPIENT)],
        [record(SENDER, Status.SUSPENDED)],
        [record(SENDER, Status.REFERENCED_WITHOUT_EXCHANGE)],
        [
            record(
                SENDER,
                convention=convention(Scope(frozenset({"class:95"}), EVERYTHING.directions, EVERYTHING.purposes)),
            )
        ],
    ):
        bench.view.set(records)
        assert await services(readers, address) == {}
        assert await patients(readers, SENDER) == {}
    bench.view.set([record(SENDER), record(RECIPIENT)])
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_SUSPENDED, c.Actor(c.PLATFORM, ""), "fraud"))
    assert await services(readers, address) == {}
    assert await patients(readers, SENDER) == {}
    bench.view.snapshot = None
    assert await reason_of(services(readers, address)) is Reason.REGISTRY_STALE
    assert await reason_of(patients(readers, SENDER)) is Reason.REGISTRY_STALE


async def test_a_refusal_takes_away_what_it_touches_and_leaves_the_rest(bench: Bench) -> None:
    """A type refused within a class: the whole class is carried no more, its other types are."""
    readers = Readers(bench)
    address = await bench.patient()
    scope = Scope(frozenset({"class:10"}), EVERYTHING.directions, EVERYTHING.purposes)
    name = readers.name(await bench.grant(address, SENDER, scope))
    part = Scope(frozenset({REPORT}), EVERYTHING.directions, EVERYTHING.purposes)
    await bench.grant(address, SENDER, part, limits=Limits(effect=Effect.DENY))
    assert await services(readers, address) == {SENDER: [name]}
    assert await services(readers, address, category=REPORT) == {}
    assert await services(readers, address, category="class:10") == {}
    assert await services(readers, address, category="type:11490-0") == {SENDER: [name]}
    await bench.grant(address, SENDER, limits=Limits(effect=Effect.DENY))
    assert await services(readers, address) == {}


async def test_limits_of_particular_data_do_not_hide_who_may_access(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.patient()
    exceptions = frozenset({"label:V", REPORT})
    limits = Limits(exceptions=exceptions, data_from_ms=1, data_until_ms=2)
    name = readers.name(await bench.grant(address, SENDER, limits=limits))
    assert await services(readers, address) == {SENDER: [name]}
    assert await services(readers, address, category=REPORT) == {}


async def test_a_representative_sees_what_would_hold_without_the_minor_s_secrets(bench: Bench) -> None:
    """A secret consent is absent; so is a secret refusal, and with it what it would betray."""
    readers = Readers(bench)
    address = await bench.open_profile(c.OpenProfile(ins(1), majority_ms=bench.clock.now_ms + 730 * DAY_MS))
    for service in (SENDER, RECIPIENT):
        await bench.ledger.do(c.Pair(address, service))
    known = readers.name(await bench.grant(address, SENDER))
    await bench.grant(address, SENDER, limits=Limits(effect=Effect.DENY, secret=True))
    secret = readers.name(await bench.grant(address, RECIPIENT, limits=Limits(secret=True)))
    assert await services(readers, address) == {RECIPIENT: [secret]}
    assert await services(readers, address, viewer=REPRESENTATIVE) == {SENDER: [known]}
    bench.clock.now_ms += 730 * DAY_MS
    assert await reason_of(services(readers, address, viewer=REPRESENTATIVE)) is Reason.STATE_CONFLICT


async def test_a_service_sees_its_own_patients_of_all_shards_a_page_at_a_time(sharded: Bench) -> None:
    readers = Readers(sharded)
    both = [await sharded.consenting(number) for number in range(1, 13)]
    assert len({address.shard for address in both}) > 2, "patients of several shards, or the test shows nothing"
    sender_only = await sharded.patient(13)
    await sharded.grant(sender_only, SENDER)
    nobody = await sharded.patient(14)
    for service, expected in ((SENDER, [*both, sender_only]), (RECIPIENT, both)):
        for size in (1, 5, 100):
            found = await patients(readers, service, size)
            assert set(found) == {readers.names.pseudonym(service, address) for address in expected}
            assert all(len(consents) == 1 for consents in found.values())
    assert readers.names.pseudonym(SENDER, nobody) not in await patients(readers, SENDER)
    assert await patients(readers, "services/nobody") == {}


async def test_a_page_looks_at_so_many_patients_and_may_be_short(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine of ten have withdrawn for care: a page that finds none says that another follows."""
    monkeypatch.setattr(permitted, "LOOKED_AT", 3)
    readers = Readers(bench)
    addresses = [await bench.patient(number) for number in range(1, 11)]
    for address in addresses:
        await bench.grant(address, SENDER, CARE if address is addresses[4] else PREVENTION)
    calling(SENDER)
    page = await listed(readers, purpose=registry_pb2.PURPOSE_CARE)
    assert page.next_page_token
    found = await patients(readers, SENDER, purpose=registry_pb2.PURPOSE_CARE)
    assert set(found) == {readers.names.pseudonym(SENDER, addresses[4])}


async def test_services_are_listed_a_page_at_a_time_in_order_of_name(bench: Bench) -> None:
    readers = Readers(bench)
    names = [f"services/s{number:02}" for number in range(5)]
    bench.view.set([record(name) for name in names])
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    for name in names[::-1]:
        await bench.ledger.do(c.Pair(address, name))
        await bench.grant(address, name)
    calling()
    found, token = list[str](), ""
    sizes: list[int] = []
    while token or not sizes:
        page = await listed(readers, profile=readers.profile(address), page_size=2, page_token=token)
        found += [item.service for item in page.items]
        sizes.append(len(page.items))
        token = page.next_page_token
    assert (found, sizes) == (names, [2, 2, 1])


async def test_what_is_listed_is_what_would_be_decided(bench: Bench) -> None:
    """For every category, direction and purpose of the consents: listed exactly where the record may be exchanged."""
    readers = Readers(bench)
    address = await bench.patient()
    await bench.grant(address, SENDER, CARE)
    await bench.grant(address, SENDER, PREVENTION)
    await bench.grant(
        address,
        SENDER,
        Scope(frozenset({REPORT}), frozenset(Direction), frozenset(Purpose)),
        limits=Limits(effect=Effect.DENY),
    )
    for direction in Direction:
        for purpose in Purpose:
            for category in ("class:10", "class:42", "class:11", REPORT, "type:11490-0"):
                asked = query(
                    address, counterparty="", direction=direction, purpose=purpose, categories=frozenset({category})
                )
                decided = await bench.advice.check(c.Check(asked))
                filters: dict[str, Any] = {
                    "direction": registry_pb2.Direction.Value(f"DIRECTION_{direction}"),
                    "purpose": registry_pb2.Purpose.Value(f"PURPOSE_{purpose}"),
                    "category": category,
                }
                assert bool(await services(readers, address, **filters)) is isinstance(decided, Permit)


@pytest.mark.parametrize(
    ("caller", "asked", "fields"),
    [
        ("", {}, ["profile"]),
        ("", {"profile": "profiles/x", "direction": 9}, ["direction"]),
        ("", {"profile": "profiles/x", "purpose": 9, "category": "class:99"}, ["category", "purpose"]),
        ("", {"profile": "profiles/x", "page_size": 101, "page_token": "x"}, ["page_size", "page_token"]),
        (SENDER, {"profile": "profiles/x"}, ["profile"]),
        (SENDER, {"viewer": REPRESENTATIVE}, ["viewer"]),
    ],
)
async def test_a_list_asked_for_wrongly_is_refused(
    bench: Bench, caller: str, asked: dict[str, Any], fields: list[str]
) -> None:
    calling(caller)
    with pytest.raises(AccordError) as caught:
        await listed(Readers(bench), **asked)
    assert [item.field for item in caught.value.violations] == fields


async def test_a_page_token_is_of_one_service_and_one_question(bench: Bench) -> None:
    readers = Readers(bench)
    for number in range(1, 4):
        await bench.consenting(number)
    calling(SENDER)
    token = (await listed(readers, page_size=1)).next_page_token
    assert token
    calling(RECIPIENT)
    assert await reason_of(listed(readers, page_token=token)) is Reason.FIELD_INVALID
    calling(SENDER)
    other = listed(readers, page_token=token, purpose=registry_pb2.PURPOSE_CARE)
    assert await reason_of(other) is Reason.FIELD_INVALID
    assert (await listed(readers, page_token=token)).items
