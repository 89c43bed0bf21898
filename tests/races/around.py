"""The model's commands around consents: pairings, representatives, notices, acknowledgements, retractions, erasure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.consent.domain import commands as c
from services.errors import Reason
from tests.races.people import STANDING, Line, Person, Right, Turn, closed, conflict, revise, settle


def pair(person: Person, item: c.Pair) -> Turn:
    """An active profile and a service that is referenced, once."""
    if refusal := closed(person):
        return Turn(person, (), refusal)
    lines = () if item.service in person.paired else (Line("pairing.created", "portal"),)
    return Turn(replace(person, paired=person.paired | {item.service}), lines, item.address)


def represent(person: Person, item: c.Represent, now_ms: int) -> Turn:
    """Who may act for a minor."""
    minor = person.majority_ms is not None and now_ms < person.majority_ms
    if item.allowed and not minor:
        return Turn(person, (), Reason.STATE_CONFLICT)
    if (item.person in person.representatives) is item.allowed:
        return Turn(person, (), item.address)
    type_ = "representative.added" if item.allowed else "representative.removed"
    changed = person.representatives ^ {item.person}
    return Turn(replace(person, representatives=changed), (Line(type_, "portal"),), item.address)


def notice(person: Person, item: c.RecordNotice, now_ms: int) -> Turn:
    """What the patient was told of a revision that there is."""
    right = person.rights.get(item.consent)
    if right is None or not 1 <= item.revision <= right.revision:
        return Turn(person, (), Reason.RESOURCE_NOT_FOUND)
    if refusal := conflict(item.sent_ms > now_ms):
        return Turn(person, (), refusal)
    return Turn(person, (Line("notice.sent", "portal"),), right.shown())


def acknowledge(person: Person, item: c.AcknowledgeRevocation, now_ms: int) -> Turn:
    """That the service has noted an end, once; the answer is when."""
    right = person.rights[item.consent]
    if right.service != item.service:
        return Turn(person, (), Reason.RESOURCE_NOT_FOUND)
    if right.acknowledged_ms is not None:
        return Turn(person, (), right.acknowledged_ms)
    if right.today(now_ms).state in STANDING:
        return Turn(person, (), Reason.STATE_CONFLICT)
    person, lines = settle(person, right, now_ms)
    person = person.put(replace(person.rights[right.local], acknowledged_ms=now_ms))
    return Turn(person, (*lines, Line("revocation.acknowledged", "service")), now_ms)


def retract(people: Mapping[int, Person], kid: str, now_ms: int) -> tuple[dict[int, Person], list[Line]]:
    """The platform withdraws whatever standing consent rests on a word that this key signed."""
    after, lines = dict(people), list[Line]()
    for patient, person in people.items():
        for right in person.rights.values():
            if kid in right.kids and right.today(now_ms).state in STANDING:
                moved: Right = replace(right, state="REVOKED", cause="")
                after[patient], line = revise(after[patient], moved, "consent.revoked", "platform")
                lines.append(line)
    return after, lines


def erase(person: Person) -> tuple[tuple[Line, ...], Any]:
    """The tombstone, or why not: only what is closed, with every consent ended, can go."""
    if person.status not in ("CLOSED", "BARRED") or person.standing():
        return (), Reason.STATE_CONFLICT
    return (Line("patient.erased", "platform"),), None
