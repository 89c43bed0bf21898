"""Explanations: every rule on the caller's side in its language; nothing to strangers; earlier instants as they stood."""

from typing import Any

import pytest
from accord.consent.v1 import decision_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.errors import MEANINGS, AccordError, Reason
from services.formats.entry import EntryType
from tests.support.ledgers import RECIPIENT, SENDER, Bench, query, record
from tests.support.readers import CALL, FRENCH, Readers, calling, reason_name
from tests.support.refused import reason_of

PLATFORM = c.Actor(c.PLATFORM, "")


async def explain(readers: Readers, asked: pb.Query, call: Any = CALL, **more: Any) -> pb.ExplainResponse:
    return await readers.decisions.Explain(pb.ExplainRequest(query=asked, **more), call)


def failing(answer: pb.ExplainResponse) -> list[str]:
    """The reasons of the rules that do not hold."""
    names = (error_reason_pb2.ErrorReason.Name(rule.reason) for rule in answer.rules if not rule.holds)
    return [name.removeprefix("ERROR_REASON_") for name in names]


async def test_every_rule_on_the_caller_s_side_is_told_with_its_consent(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    address = await bench.patient()
    given = await bench.grant(address, SENDER)
    await bench.grant(address, RECIPIENT)
    permitted = await explain(readers, readers.asking(address))
    assert reason_name(permitted.verdict) == ""
    assert failing(permitted) == []
    assert {rule.resource for rule in permitted.rules} == {"", f"{readers.name(given)}/revisions/1"}
    await bench.revoke(given)
    refused = await explain(readers, readers.asking(address, purpose=registry_pb2.PURPOSE_CARE))
    assert reason_name(refused.verdict) == "CONSENT_REVOKED"
    assert failing(refused) == ["CONSENT_REVOKED"]
    (rule,) = (rule for rule in refused.rules if not rule.holds)
    assert rule.resource == f"{readers.name(given)}/revisions/2"


async def test_a_rule_is_said_in_the_caller_s_language_and_its_remedy_where_it_fails(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    asked = readers.asking(await bench.patient())
    for call, language in ((CALL, "english"), (FRENCH, "french")):
        for rule in (await explain(readers, asked, call)).rules:
            reason = error_reason_pb2.ErrorReason.Name(rule.reason).removeprefix("ERROR_REASON_")
            meaning = MEANINGS[Reason[reason]]
            assert rule.message == getattr(meaning, language)
            assert rule.remedy == ("" if rule.holds else meaning.remedy)


async def test_a_stranger_learns_nothing_now_or_at_any_time(bench: Bench) -> None:
    """Unknown, another's pseudonym, a patient who never met the service: one answer, byte for byte."""
    bench.view.set([record(SENDER), record(RECIPIENT), record("services/stranger")])
    readers = Readers(bench)
    address = await bench.consenting()
    calling("services/stranger")
    nobody = readers.asking(None, "services/stranger")
    unpaired = readers.asking(address, "services/stranger")
    another = readers.asking(None, "services/stranger", patient=readers.names.pseudonym(SENDER, address))
    for more in ({}, {"read_time": timestamp(bench.clock.now_ms)}, {"read_time": Timestamp(seconds=1)}):
        answers = {(await explain(readers, asked, **more)).SerializeToString() for asked in (nobody, unpaired, another)}
        assert len(answers) == 1
        answer = await explain(readers, unpaired, **more)
        assert (reason_name(answer.verdict), failing(answer), len(answer.rules)) == (
            "NOT_PERMITTED",
            ["NOT_PERMITTED"],
            1,
        )


async def test_a_service_is_told_of_itself_alone(bench: Bench) -> None:
    readers = Readers(bench)
    asked = readers.asking(await bench.consenting())
    calling(RECIPIENT)
    for more in ({}, {"read_time": timestamp(bench.clock.now_ms)}):
        assert await reason_of(explain(readers, asked, **more)) is Reason.NOT_PERMITTED


async def test_of_the_other_party_only_whether_it_may(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    address = await bench.patient()
    await bench.grant(address, SENDER)
    other = await bench.grant(address, RECIPIENT)
    await bench.revoke(other)
    answer = await explain(readers, readers.asking(address))
    assert failing(answer) == ["RECIPIENT_NOT_PERMITTED"]
    assert readers.name(other) not in str(answer)


async def test_an_earlier_instant_is_explained_as_it_stood(bench: Bench) -> None:
    """Before the pairing, before the consent, while it stood, after its withdrawal, under a closed profile."""
    readers = Readers(bench)
    calling(SENDER)
    times: dict[str, int] = {}

    def mark(name: str) -> None:
        times[name] = bench.clock.now_ms
        bench.clock.now_ms += 1000

    mark("NOT_PERMITTED")
    address = await bench.patient()
    mark("CONSENT_MISSING")
    given = await bench.grant(address, SENDER)
    await bench.grant(address, RECIPIENT)
    mark("")
    bench.view.set([record(RECIPIENT)])
    await bench.authorize(query(address))
    mark("SERVICE_NOT_REFERENCED")
    bench.view.set([record(SENDER), record(RECIPIENT)])
    await bench.authorize(query(address))
    await bench.revoke(given)
    mark("CONSENT_REVOKED")
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_SUSPENDED, PLATFORM, "fraud"))
    mark("PROFILE_SUSPENDED")
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, c.Actor(c.HOLDER, "eidas2")))
    mark("PROFILE_NOT_OPEN")
    asked = readers.asking(address)
    for expected, time_ms in times.items():
        answer = await explain(readers, asked, read_time=timestamp(time_ms))
        assert reason_name(answer.verdict) == expected
        assert (expected in failing(answer)) is bool(expected)


@pytest.mark.parametrize("later_ms", [1, 10**9])
async def test_an_instant_that_has_not_come_is_refused(bench: Bench, later_ms: int) -> None:
    readers = Readers(bench)
    calling(SENDER)
    with pytest.raises(AccordError) as caught:
        await explain(readers, readers.asking(None), read_time=timestamp(bench.clock.now_ms + later_ms))
    assert [item.field for item in caught.value.violations] == ["read_time"]


async def test_an_earlier_instant_is_as_fresh_as_it_gets(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    consistency, then = pb.Consistency(fully_consistent=True), timestamp(bench.clock.now_ms)
    with pytest.raises(AccordError) as caught:
        await explain(readers, readers.asking(None), read_time=then, consistency=consistency)
    assert [item.field for item in caught.value.violations] == ["consistency"]


async def test_what_was_erased_is_explained_no_more(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    address = await bench.consenting()
    then = timestamp(bench.clock.now_ms)
    bench.clock.now_ms += 1000
    assert reason_name((await explain(readers, readers.asking(address), read_time=then)).verdict) == ""
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, c.Actor(c.HOLDER, "eidas2")))
    await bench.ledger.do(c.Erase(address, "gdpr_17", traces_too=False))
    assert await reason_of(explain(readers, readers.asking(address), read_time=then)) is Reason.STATE_CONFLICT
    now = await explain(readers, readers.asking(address))
    assert reason_name(now.verdict) == "NOT_PERMITTED"
