"""The judge of histories: it accepts what one order explains, and nothing that was doctored."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Limits, Quota
from services.errors import Reason
from services.formats.entry import EntryType
from tests.races.arena import Arena
from tests.races.calls import Call, Lost, Recorder, count_interleavings
from tests.races.history import History, Seen
from tests.races.linear import Linear
from tests.races.people import Person
from tests.races.quotas import Quotas
from tests.races.world import World
from tests.support.ledgers import DAY_MS, EVERYTHING, HOLDER, NOTICE, RECIPIENT, SENDER, query

LIFE_MS, LATE = 5000, 1 << 62


class Story:
    """One call after the other, each recorded; no two are under way together."""

    def __init__(self, arena: Arena, address: c.Address) -> None:
        self.bench, self.address, self.recorder, self.arena = arena.benches[0], address, Recorder(), arena

    async def do(self, item: Any, mark: str = "") -> Any:
        bench = self.bench
        call = bench.advice.check(item) if isinstance(item, c.Check) else bench.ledger.do(item)
        patient = None if isinstance(item, c.SweepConsents) else self.address.patient
        return await self.recorder.record(call, item, mark=mark, patient=patient)

    async def grant(self, mark: str, service: str, life_ms: int = DAY_MS, limits: Limits | None = None) -> c.Consent:
        end_ms, actor = self.arena.hand.now_ms + life_ms, c.Actor(c.HOLDER, mark)
        terms = (EVERYTHING, None, end_ms, NOTICE, actor, mark, mark, limits or Limits())
        consent: c.Consent = await self.do(c.Grant(self.address, service, *terms), mark)
        return consent

    async def move(self, mark: str, consent: c.Consent, to: ConsentState) -> None:
        await self.do(c.MoveConsent(0, consent.consent, to, c.Actor(c.HOLDER, mark)), mark)

    async def authorize(self) -> None:
        await self.do(c.Authorize(query(self.address), self.bench.exchange(), (), "t" * 43))

    async def tell(self) -> None:
        sent = await self.grant("granted", SENDER)
        await self.grant("granted to the other", RECIPIENT)
        await self.authorize()  # 2
        await self.authorize()  # 3
        await self.do(c.Check(query(self.address)))  # 4
        await self.move("suspended", sent, ConsentState.SUSPENDED)  # 5
        await self.move("suspended again", sent, ConsentState.SUSPENDED)  # 6
        await self.authorize()  # 7, denied
        await self.move("resumed", sent, ConsentState.ACTIVE)  # 8
        await self.move("revoked", sent, ConsentState.REVOKED)  # 9
        await self.do(c.Check(query(self.address)))  # 10, denied
        await self.move("resumed in vain", sent, ConsentState.ACTIVE)  # 11, refused
        await self.grant("granted once more", SENDER, LIFE_MS, Limits(quota=Quota(1)))  # 12
        await self.authorize()  # 13
        await self.authorize()  # 14, denied
        self.arena.hand.move(LIFE_MS)
        await self.do(c.SweepConsents(0))  # 15, one
        await self.do(c.SweepConsents(0))  # 16, none
        await self.do(
            c.MoveProfile(self.address, EntryType.PROFILE_CLOSED, c.Actor(c.HOLDER, "closed")), "closed"
        )  # 17


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, World]:
    """A true history, and the world before it."""
    return asyncio.run(tell(tmp_path_factory.mktemp("story")))


async def tell(folder: Path) -> tuple[History, World]:
    arena = Arena(f"sqlite:///{folder / 'ledger.db'}", replicas=1)
    address = await arena.replicas[0].run(arena.benches[0].patient())
    arena.read()
    story = Story(arena, address)
    await arena.replicas[0].run(story.tell())
    history = History(story.recorder.calls, arena.read(), arena.hand, arena.time_ms)
    await arena.close()
    return history, World({address.patient: Person(paired=frozenset((SENDER, RECIPIENT)))})


Doctor = Callable[[list[Call], list[Seen]], None]


def doctored(history: History, doctor: Doctor) -> History:
    """What the doctor makes of it, entries numbered anew; a decision is told the place where its entry stands then."""
    calls, seen = list(history.calls), list(history.seen)
    doctor(calls, seen)
    seen = [replace(item, index=history.seen[0].index + place) for place, item in enumerate(seen)]
    places = {item.leaf: item.index for item in seen}
    return History([_told_anew(call, places) for call in calls], seen, history.hand, history.before_ms)


def _told_anew(call: Call, places: dict[bytes, int]) -> Call:
    if not isinstance(call.answer, c.Decision):
        return call
    known = call.answer.appended
    place = places.get(known.leaf, known.index + 1000)
    return replace(call, answer=replace(call.answer, appended=replace(known, index=place)))


def all_at_once(calls: list[Call], _: list[Seen]) -> None:
    calls[:] = [replace(call, invoked_ns=1, returned_ns=LATE) for call in calls]


def swapped(one: int, other: int) -> Doctor:
    def swap(_: list[Call], seen: list[Seen]) -> None:
        seen[one], seen[other] = seen[other], seen[one]

    return swap


def answered(number: int, answer: Any) -> Doctor:
    def lie(calls: list[Call], _: list[Seen]) -> None:
        calls[number] = replace(calls[number], answer=answer)

    return lie


def answered_like(number: int, other: int) -> Doctor:
    return lambda calls, seen: answered(number, calls[other].answer)(calls, seen)


def permitted(calls: list[Call], seen: list[Seen]) -> None:
    answered(7, replace(calls[7].answer, permit=calls[2].answer.permit, told=None))(calls, seen)


def without_entry(place: int) -> Doctor:
    return lambda _, seen: seen.__delitem__(place)


def entry(place: int, **changes: Any) -> Doctor:
    def change(_: list[Call], seen: list[Seen]) -> None:
        seen[place] = replace(seen[place], entry=replace(seen[place].entry, **changes))

    return change


def twice(place: int) -> Doctor:
    return lambda _, seen: seen.insert(place, seen[place])


def another_leaf(_: list[Call], seen: list[Seen]) -> None:
    seen[2] = replace(seen[2], leaf=b"x" * 32)


def one_place(calls: list[Call], _: list[Seen]) -> None:
    calls[3] = replace(calls[3], answer=calls[2].answer)


def nothing_was_due(calls: list[Call], seen: list[Seen]) -> None:
    del calls[16:], seen[11:]
    calls[15] = replace(calls[15], answer=0)


def both(*doctors: Doctor) -> Doctor:
    def doctor(calls: list[Call], seen: list[Seen]) -> None:
        for each in doctors:
            each(calls, seen)

    return doctor


def at(number: int, invoked_ns: int, returned_ns: int) -> Doctor:
    def move(calls: list[Call], _: list[Seen]) -> None:
        calls[number] = replace(calls[number], invoked_ns=invoked_ns, returned_ns=returned_ns)

    return move


KINDS = [
    *("consent.granted", "consent.granted", "exchange.authorized", "exchange.authorized", "consent.suspended"),
    *("exchange.denied", "consent.resumed", "consent.revoked", "consent.granted", "exchange.authorized"),
    *("exchange.denied", "consent.expired", "profile.closed", "consent.ended"),
]
ACCEPTED: dict[str, Doctor] = {
    "what happened": lambda _, __: None,
    "calls that were under way together, in any order that explains them": both(all_at_once, swapped(2, 3)),
    "advice from before a withdrawal and from after it, while it was under way": both(
        all_at_once, at(4, 10, 20), at(10, 30, 40)
    ),
    "a call whose answer was lost, and that took effect": answered(5, Lost(Reason.STORAGE_UNAVAILABLE)),
    "a call whose answer was lost, and that did not": both(
        answered(17, Lost(Reason.STORAGE_UNAVAILABLE)), without_entry(13), without_entry(12)
    ),
}
REFUSED: dict[str, tuple[Doctor, str]] = {
    "an order that is not that of time": (swapped(2, 3), "had ended before"),
    "an authorisation behind the withdrawal": (both(all_at_once, swapped(3, 7)), "made"),
    "a decision that is not in the log": (without_entry(3), "left no entry"),
    "a withdrawal that is not in the log": (without_entry(7), "made"),
    "an entry that nobody asked for": (twice(3), "is of no call"),
    "two withdrawals by one call": (twice(7), "is of no call"),
    "another entry than its caller was told": (another_leaf, "left no entry|is of no call"),
    "one place for two decisions": (one_place, "told one place"),
    "a denial in the place of a permit": (entry(2, type=EntryType.EXCHANGE_DENIED), "made"),
    "a permit in the place of a denial": (entry(5, type=EntryType.EXCHANGE_AUTHORIZED), "made"),
    "another reason": (entry(5, reason=Reason.CONSENT_REVOKED), "made"),
    "a permit that lives longer": (entry(2, until_ms=9), "made"),
    "a revision that leaps": (entry(4, resources=("consents/x/revisions/3",)), "made"),
    "one call at two times": (entry(13, time_ms=0), "two times"),
    "a denial that was answered as a permit": (permitted, "was answered"),
    "a withdrawal that was answered as a suspension": (answered_like(9, 5), "was answered"),
    "a repeat that was answered as it would be before": (answered_like(6, 0), "right at no point"),
    "a refusal for another reason": (answered(11, Reason.ETAG_MISMATCH), "right at no point"),
    "advice from before the withdrawal": (answered_like(10, 4), "right at no point"),
    "advice that goes back": (both(all_at_once, at(10, 10, 20), at(4, 30, 40)), "right at no point"),
    "a sweep that says too much": (answered(15, 2), "no sweep says so"),
    "a sweep that says too little": (answered(15, 0), "no sweep says so"),
    "a sweep that found nothing where there was something": (nothing_was_due, "right at no point"),
}


def test_the_story_is_the_one_that_is_doctored_below(told: tuple[History, World]) -> None:
    assert [seen.entry.type.value for seen in told[0].seen] == KINDS
    assert [type(call.answer).__name__ for call in told[0].calls[:8:2]] == ["Consent", "Decision", "Permit", "Consent"]


@pytest.mark.parametrize("doctor", ACCEPTED.values(), ids=ACCEPTED)
def test_what_one_order_explains_is_accepted(told: tuple[History, World], doctor: Doctor) -> None:
    history, world = told
    assert Linear(world).take(doctored(history, doctor)) == []


@pytest.mark.parametrize(("doctor", "what"), REFUSED.values(), ids=REFUSED)
def test_what_no_order_explains_is_refused(told: tuple[History, World], doctor: Doctor, what: str) -> None:
    history, world = told
    (wrong,) = Linear(world).take(doctored(history, doctor))
    assert any(part in wrong for part in what.split("|")), wrong


def over(seen: Sequence[Seen]) -> list[str]:
    quotas = Quotas()
    return [what for item in seen for what in quotas.take(item)]


def test_one_exchange_more_than_the_quota_is_found_by_the_log_alone(told: tuple[History, World]) -> None:
    history, _ = told
    last = history.seen[9]
    again = replace(last, entry=replace(last.entry, attempt=2))
    another = replace(last, entry=replace(last.entry, exchange="e" * 64))
    assert over(history.seen) == []
    assert over((*history.seen[:10], again)) == []
    assert len(over((*history.seen[:10], another))) == 1


def call(item: Any, patient: int | None, invoked_ns: int, returned_ns: int, answer: Any = None) -> Call:
    return Call("", item, patient, invoked_ns, returned_ns, answer)


def test_an_interleaving_is_an_authorisation_under_way_with_another_call_about_the_same_patient() -> None:
    asked = c.Authorize(query(c.Address(0, 1)), "e" * 64, (), "t")
    moved = c.MoveConsent(0, 7, ConsentState.REVOKED, HOLDER)
    alone = call(asked, 1, 0, 10)
    assert count_interleavings([alone]) == (0, 0)
    assert count_interleavings([alone, call(moved, 1, 10, 20)]) == (0, 0)
    assert count_interleavings([alone, call(moved, 2, 0, 10), call(c.SweepConsents(0), None, 0, 10)]) == (0, 0)
    assert count_interleavings([alone, call(moved, 1, 0, 10, Lost(Reason.OVERLOADED))]) == (0, 0)
    assert count_interleavings([alone, call(moved, 1, 9, 20)]) == (1, 1)
    assert count_interleavings([alone, call(asked, 1, 5, 6)]) == (2, 0)
    assert count_interleavings([call(moved, 1, 0, 10), call(moved, 1, 5, 6)]) == (0, 0)
