"""The model of a whole shard: its patients, the authorisations that nobody settled, and what sweepers do to both."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from services.consent.domain import commands as c
from services.errors import Reason
from services.formats.entry import REVISING, Entry
from tests.races import around, people
from tests.races.exchange import Verdict, judge
from tests.races.people import UNSEEN, Fresh, Line, Person, Shown

AT_ONCE = 64
"""Things that a sweeper writes down in one transaction."""


class Told(NamedTuple):
    """What the asking service hears of a decision."""

    told: Reason | None
    revisions: tuple[str, ...]
    until_s: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the log a command took effect, and what only the ledger can choose there."""

    index: int = 0
    fresh: Fresh = UNSEEN
    settled: tuple[int, ...] = ()


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class World:
    """`unsettled`: time of each authorisation without outcome, by index."""

    people: Mapping[int, Person] = field(default_factory=dict)
    unsettled: Mapping[int, int] = field(default_factory=dict)

    def put(self, patient: int, person: Person) -> "World":
        """With this patient as they are now."""
        return replace(self, people={**self.people, patient: person})


class Step(NamedTuple):
    """What a command does: the world afterwards, the entries that must be in the log, and the answer."""

    world: World
    lines: tuple[Line, ...]
    answer: Any


def step(world: World, item: Any, now_ms: int, place: Place = NOWHERE) -> Step:
    """What a command does at an instant. Raises: KeyError for one about somebody whom the world does not know."""
    match item:
        case c.Authorize():
            return _authorize(world, item, now_ms, place.index)
        case c.Check():
            verdict = judge(_person(world, item.query), item.query, item.exchange, now_ms)
            return Step(world, (), _told(verdict))
        case c.SweepConsents():
            return _sweep_consents(world, now_ms)
        case c.Sweep():
            return _sweep_exchanges(world, item.before_ms, place.settled)
    return _of_person(world, item, now_ms, place.fresh)


def _of_person(world: World, item: Any, now_ms: int, fresh: Fresh) -> Step:
    patient = item.address.patient if hasattr(item, "address") else _owner(world, item.consent)
    person = world.people[patient]
    match item:
        case c.Grant():
            turn = people.grant(person, item, now_ms, fresh)
        case c.Amend():
            turn = people.amend(person, item, now_ms)
        case c.MoveConsent():
            turn = people.move(person, item, now_ms)
        case c.MoveProfile():
            turn = people.move_profile(person, item, now_ms)
        case _:
            turn = _around(person, item, now_ms)
    return Step(world.put(patient, turn.person), turn.lines, turn.answer)


def _around(person: Person, item: Any, now_ms: int) -> people.Turn:
    match item:
        case c.Pair():
            return around.pair(person, item)
        case c.Represent():
            return around.represent(person, item, now_ms)
        case c.RecordNotice():
            return around.notice(person, item, now_ms)
        case c.AcknowledgeRevocation():
            return around.acknowledge(person, item, now_ms)
    raise TypeError(item)


def _owner(world: World, consent: int) -> int:
    for patient, person in world.people.items():
        if consent in person.rights:
            return patient
    raise KeyError(consent)


def _person(world: World, query: c.Query) -> Person | None:
    return world.people.get(query.address.patient) if query.address else None


def _told(verdict: Verdict) -> Told:
    if verdict.reason is not None:
        return Told(verdict.told, (), 0)
    return Told(None, verdict.revisions, verdict.until_s)


def _authorize(world: World, item: c.Authorize, now_ms: int, index: int) -> Step:
    person = _person(world, item.query)
    verdict = judge(person, item.query, item.exchange, now_ms)
    attempt = 1 + (person.attempts.get(item.exchange, 0) if person else 0)
    if verdict.reason is not None or person is None or item.query.address is None:
        line = Line("exchange.denied", "broker", verdict.revisions, reason=verdict.reason, number=attempt)
        return Step(world, (line,), _told(verdict))
    until_ms = verdict.until_s * 1000
    line = Line("exchange.authorized", "broker", verdict.revisions, until_ms=until_ms, number=attempt)
    person = replace(person, attempts={**person.attempts, item.exchange: attempt})
    for local in verdict.counts:
        right = person.rights[local]
        person = person.put(replace(right, used={**right.used, item.exchange: now_ms}))
    world = world.put(item.query.address.patient, person)
    return Step(replace(world, unsettled={**world.unsettled, index: now_ms}), (line,), _told(verdict))


def _sweep_consents(world: World, now_ms: int) -> Step:
    """What ends by its date, what waits for the holder from majority on, and what opens by its date: so many of each."""
    due = sorted(
        (right.end_ms, right.local, patient)
        for patient, person in world.people.items()
        for right in person.standing()
        if right.end_ms <= now_ms
    )
    lines: list[Line] = []
    for _, local, patient in due[:AT_ONCE]:
        person, settled = people.settle(world.people[patient], world.people[patient].rights[local], now_ms)
        world, lines = world.put(patient, person), lines + settled
    things = len(lines)
    for patient, person in world.people.items():
        if person.majority_ms is not None and person.majority_ms <= now_ms:
            person, settled = _come_of_age(person, now_ms)
            world, lines, things = world.put(patient, person), lines + settled, things + 1
        if person.opens_ms is not None and person.opens_ms <= now_ms:
            world = world.put(patient, replace(person, status="OPENED", opens_ms=None))
            lines, things = [*lines, Line("profile.opened", "ledger")], things + 1
    return Step(world, tuple(lines), things)


def _come_of_age(person: Person, now_ms: int) -> tuple[Person, list[Line]]:
    lines: list[Line] = []
    for right in person.standing():
        person, settled = people.settle(person, right, now_ms)
        lines += settled
    return replace(person, majority_ms=None), lines


def _sweep_exchanges(world: World, before_ms: int, settled: tuple[int, ...]) -> Step:
    """The oldest authorisations, which of those of one instant is the ledger's to choose."""
    due = sorted((time_ms, index) for index, time_ms in world.unsettled.items() if time_ms < before_ms)
    count = min(AT_ONCE, len(due))
    chosen = settled[:count]
    oldest = [time_ms for time_ms, _ in due[:count]]
    if sorted(world.unsettled.get(index, before_ms) for index in chosen) != oldest or len(set(chosen)) != count:
        chosen = tuple(index for _, index in due[:count])
    left = {index: time_ms for index, time_ms in world.unsettled.items() if index not in chosen}
    lines = tuple(Line("exchange.outcome", "ledger", number=index) for index in chosen)
    return Step(replace(world, unsettled=left), lines, count)


def line_of(entry: Entry) -> Line:
    """What an entry says in clear of what the model foretells."""
    number = entry.outcome.authorization if entry.outcome else entry.attempt
    about = entry.type in REVISING or entry.type.value.startswith("exchange.")
    resources = entry.resources if about else ()
    return Line(entry.type.value, entry.actor, resources, entry.cause, entry.until_ms, entry.reason, number)


def answer_of(answer: Any) -> Any:
    """What came back from the ledger, in the model's words."""
    match answer:
        case c.Consent():
            quota = (answer.limits.quota.limit, answer.limits.quota.period_s) if answer.limits.quota else None
            state, confirm_ms = answer.state.value, answer.limits.confirm_ms
            return Shown(
                answer.consent, state, answer.cause, answer.revision, answer.scope, answer.end_ms, quota, confirm_ms
            )
        case c.Profile():
            return answer.status.value
        case c.Decision():
            permit = answer.permit
            return Told(answer.told, permit.resources if permit else (), permit.until_s if permit else 0)
    if hasattr(answer, "until_s"):
        return Told(None, answer.resources, answer.until_s)
    if hasattr(answer, "told"):
        return Told(answer.told, (), 0)
    return answer
