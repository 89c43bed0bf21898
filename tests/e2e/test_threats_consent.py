"""Threats 18, 20, 21 and 22 through the real three services: consents that are gone, not there yet, or another's."""

import asyncio
from dataclasses import replace

import pytest
from accord.registry.v1 import registry_pb2

from examples.sender.bundles import Bundle
from services.chassis.keys import load_signer
from services.errors import AccordError, Kind, Reason
from services.formats.entry import EntryType
from services.formats.manifest import open_manifest
from services.formats.rights import Purpose
from tests.support.world import OTHER, RECIPIENT, SENDER, Person, Visit


async def denied(visit: Visit, bundle: Bundle, told: Reason, recorded: Reason | None = None) -> None:
    """A bundle that the ledger must deny: PERMISSION_DENIED, one entry, nothing sent."""
    error = await visit.refused(bundle)
    assert (error.reason, error.kind) == (told, Kind.DENIED)
    (entry,) = await visit.entries(bundle.exchange)
    assert (entry.type, entry.reason) == (EntryType.EXCHANGE_DENIED, recorded or told)


def resigned(visit: Visit, bundle: Bundle, **changes: object) -> Bundle:
    """The same bundle under a manifest with other members, signed by the sender again."""
    signer = load_signer(visit.world.key(SENDER))
    manifest = open_manifest(bundle.token, lambda _: signer.verify_key)
    return Bundle(replace(manifest, **changes).sign(signer), bundle.files)  # type: ignore[arg-type]


async def test_threat_18_one_request_id_for_two_bodies_is_refused(visit: Visit) -> None:
    person = await visit.patient()
    first = visit.bundle(person)
    await visit.send(first)
    other = resigned(visit, first, purpose=Purpose.CARE)
    error = await visit.refused(other)
    assert (error.reason, error.kind) == (Reason.REQUEST_ID_REUSED, Kind.EXISTS)


async def test_threat_18_the_same_bundle_again_gets_the_same_answer_and_is_sent_once(visit: Visit) -> None:
    bundle = visit.bundle(await visit.patient())
    first = await visit.send(bundle)
    assert {await visit.send(bundle) for _ in range(3)} == {first}
    types = [entry.type for entry in await visit.entries(bundle.exchange)]
    assert types == [EntryType.EXCHANGE_AUTHORIZED, EntryType.EXCHANGE_OUTCOME]


async def test_threat_20_a_withdrawal_between_check_and_forward_counts(visit: Visit) -> None:
    person = await visit.patient()
    bundle = visit.bundle(person)
    assert (await visit.check(person)).permitted
    await visit.people.revoke(person.consents[SENDER])
    assert not (await visit.check(person)).permitted
    await denied(visit, bundle, Reason.CONSENT_REVOKED)


async def test_threat_20_withdrawals_that_race_with_bundles_stand_before_or_after_them(visit: Visit) -> None:
    people = [await visit.patient() for _ in range(12)]
    bundles = [visit.bundle(person) for person in people]

    async def send(bundle: Bundle, delay: int) -> Reason | None:
        await asyncio.sleep(delay / 500)
        try:
            await visit.send(bundle)
        except AccordError as error:
            return error.reason
        return None

    sends = [send(bundle, number) for number, bundle in enumerate(bundles)]
    revokes = [visit.people.revoke(person.consents[SENDER]) for person in people]
    reasons, _ = await asyncio.gather(asyncio.gather(*sends), asyncio.gather(*revokes))
    assert set(reasons) <= {None, Reason.CONSENT_REVOKED}
    assert not (await visit.log()).violations
    kept = visit.world.received()
    assert [bundle.exchange in kept for bundle in bundles] == [reason is None for reason in reasons]


async def _consenting(visit: Visit, name: str, **changes: object) -> Person:
    """A patient whose consent to one service is special, and to the other the everyday one."""
    person = await visit.patient(RECIPIENT if name == SENDER else SENDER)
    person.consents[name] = await visit.grant(person, name, **changes)
    return person


async def test_threat_20_an_expired_consent_permits_nothing(visit: Visit) -> None:
    person = await _consenting(visit, SENDER, end_s=2)
    await asyncio.sleep(2.1)
    await denied(visit, visit.bundle(person), Reason.CONSENT_EXPIRED)


async def test_threat_20_a_future_consent_permits_nothing(visit: Visit) -> None:
    person = await _consenting(visit, SENDER, start_s=3600)
    await denied(visit, visit.bundle(person), Reason.CONSENT_NOT_YET_VALID)


async def test_threat_20_no_consent_permits_nothing(visit: Visit) -> None:
    await denied(visit, visit.bundle(await visit.patient(RECIPIENT)), Reason.CONSENT_MISSING)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"purposes": [registry_pb2.PURPOSE_CARE]}, Reason.PURPOSE_NOT_GRANTED),
        ({"categories": ["class:11"]}, Reason.CATEGORY_NOT_GRANTED),
        ({"directions": [registry_pb2.DIRECTION_READ]}, Reason.DIRECTION_NOT_GRANTED),
    ],
)
async def test_threat_21_nothing_wider_than_the_senders_consent_passes(
    visit: Visit, change: dict[str, object], reason: Reason
) -> None:
    await denied(visit, visit.bundle(await _consenting(visit, SENDER, **change)), reason)


@pytest.mark.parametrize(
    ("change", "recorded"),
    [
        ({"purposes": [registry_pb2.PURPOSE_CARE]}, Reason.PURPOSE_NOT_GRANTED),
        ({"categories": ["class:11"]}, Reason.CATEGORY_NOT_GRANTED),
        ({"directions": [registry_pb2.DIRECTION_DEPOSIT]}, Reason.DIRECTION_NOT_GRANTED),
    ],
)
async def test_threat_21_nothing_wider_than_the_recipients_consent_passes_and_the_sender_learns_no_more(
    visit: Visit, change: dict[str, object], recorded: Reason
) -> None:
    bundle = visit.bundle(await _consenting(visit, RECIPIENT, **change))
    await denied(visit, bundle, Reason.RECIPIENT_NOT_PERMITTED, recorded)


async def test_threat_21_another_recipient_than_the_patient_chose_receives_nothing(visit: Visit) -> None:
    bundle = visit.bundle(await visit.patient(), recipient=OTHER)
    await denied(visit, bundle, Reason.RECIPIENT_NOT_PERMITTED, Reason.NOT_PERMITTED)


async def test_threat_21_an_unknown_recipient_receives_nothing(visit: Visit) -> None:
    bundle = visit.bundle(await visit.patient(), recipient="nobody-at-all")
    await denied(visit, bundle, Reason.RECIPIENT_NOT_PERMITTED, Reason.SERVICE_NOT_REFERENCED)


async def test_threat_22_a_service_that_uses_anothers_pseudonym_is_a_stranger(visit: Visit) -> None:
    person = await visit.patient()
    bundle = visit.bundle(person, sender=OTHER)
    before = visit.world.received()
    async with visit.world.channel(OTHER, "exchange") as channel:
        with pytest.raises(AccordError) as caught:
            await visit.sender(OTHER, channel).send(bundle)
    assert (caught.value.reason, caught.value.kind) == (Reason.NOT_PERMITTED, Kind.DENIED)
    assert visit.world.received() == before
    (entry,) = await visit.entries(bundle.exchange)
    assert (entry.type, entry.reason, entry.subject) == (EntryType.EXCHANGE_DENIED, Reason.NOT_PERMITTED, "")


async def test_threat_22_a_service_that_sends_anothers_manifest_is_refused(visit: Visit) -> None:
    bundle = visit.bundle(await visit.patient())
    async with visit.world.channel(OTHER, "exchange") as channel:
        with pytest.raises(AccordError) as caught:
            await visit.sender(OTHER, channel).send(bundle)
    assert (caught.value.reason, caught.value.kind) == (Reason.RPC_NOT_ALLOWED, Kind.DENIED)
    await visit.send(bundle)


async def test_threat_22_a_service_may_ask_for_advice_only_for_itself(visit: Visit) -> None:
    person = await visit.patient()
    import grpc

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await visit.check(person, OTHER, service=f"services/{SENDER}")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_unknown_an_unpaired_and_a_foreign_patient_look_the_same(visit: Visit) -> None:
    person = await visit.patient()
    pseudonyms = ["0" * 32, person.pseudonyms[RECIPIENT], person.profile.removeprefix("profiles/")]
    answers = [await visit.check(person, patient=pseudonym) for pseudonym in pseudonyms]
    assert len({answer.SerializeToString() for answer in answers}) == 1
    errors = [await visit.refused(visit.bundle(person, patient=pseudonym)) for pseudonym in pseudonyms]
    assert {(error.reason, error.detail) for error in errors} == {(Reason.NOT_PERMITTED, errors[0].detail)}
