"""The model's patients: what each command makes of a profile and its consents when commands come one at a time.

Written from the contract, not from the code: no rule of `services/consent` is used here. Every step is a pure function from
a patient, a command and a time to the patient afterwards, the entries that must be in the log, and the answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from services.consent.domain import commands as c
from services.errors import Reason
from services.formats.rights import Scope

STANDING = frozenset({"ACTIVE", "SUSPENDED"})
_MOVED = {"ACTIVE": "resumed", "SUSPENDED": "suspended", "REVOKED": "revoked", "EXPIRED": "expired", "ENDED": "ended"}


class Line(NamedTuple):
    """What an entry must say in clear. `number`: the attempt of an exchange, or the authorisation of an outcome."""

    type: str
    actor: str
    resources: tuple[str, ...] = ()
    cause: str = ""
    until_ms: int | None = None
    reason: Reason | None = None
    number: int = 0


class Shown(NamedTuple):
    """A consent as its caller is shown it."""

    local: int
    state: str
    cause: str
    revision: int
    scope: Scope
    end_ms: int
    quota: tuple[int, int] | None
    confirm_ms: int | None


@dataclass(frozen=True, slots=True)
class Right:
    """A consent; `quota` is (limit, seconds), `used` when which exchange was first counted.

    `kids`: the keys that signed what it rests on.
    """

    local: int
    name: str
    service: str
    scope: Scope
    start_ms: int
    end_ms: int
    refuses: bool = False
    quota: tuple[int, int] | None = None
    confirm_ms: int | None = None
    secret: bool = False
    state: str = "ACTIVE"
    cause: str = ""
    revision: int = 1
    used: Mapping[str, int] = field(default_factory=dict)
    acknowledged_ms: int | None = None
    kids: frozenset[str] = frozenset()

    def today(self, now_ms: int) -> "Right":
        """As it stands when the clock has been listened to."""
        if self.state in STANDING and self.end_ms <= now_ms:
            return replace(self, state="EXPIRED", cause="")
        if self.state == "ACTIVE" and self.confirm_ms is not None and self.confirm_ms <= now_ms:
            return replace(self, state="SUSPENDED", cause="majority")
        return self

    def shown(self) -> Shown:
        """As its caller is shown it."""
        return Shown(
            self.local, self.state, self.cause, self.revision, self.scope, self.end_ms, self.quota, self.confirm_ms
        )


class Fresh(NamedTuple):
    """What only the ledger can choose: a new consent's local id and external name."""

    local: int
    name: str


UNSEEN = Fresh(0, "consents/unseen")


@dataclass(frozen=True, slots=True)
class Person:
    """A patient."""

    status: str = "ACTIVE"
    paired: frozenset[str] = frozenset()
    rights: Mapping[int, Right] = field(default_factory=dict)
    requests: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    opens_ms: int | None = None
    majority_ms: int | None = None
    representatives: frozenset[str] = frozenset()

    def put(self, right: Right) -> "Person":
        """With this consent as it is now."""
        return replace(self, rights={**self.rights, right.local: right})

    def standing(self) -> list[Right]:
        """The consents that have not ended."""
        return [right for right in self.rights.values() if right.state in STANDING]


class Turn(NamedTuple):
    """What a command does to a patient."""

    person: Person
    lines: tuple[Line, ...]
    answer: Any


def revise(person: Person, right: Right, type_: str, actor: str) -> tuple[Person, Line]:
    """The consent's next revision, and its entry."""
    made = replace(right, revision=right.revision + 1)
    until_ms = made.end_ms if type_ in ("consent.amended", "consent.resumed") else None
    return person.put(made), Line(type_, actor, (f"{made.name}/revisions/{made.revision}",), made.cause, until_ms)


def settle(person: Person, right: Right, now_ms: int) -> tuple[Person, list[Line]]:
    """What the clock has decided of a consent, written down."""
    today = right.today(now_ms)
    if today.state == right.state:
        return person, []
    person, line = revise(person, today, f"consent.{_MOVED[today.state]}", "ledger")
    return person, [line]


def grant(person: Person, item: c.Grant, now_ms: int, fresh: Fresh) -> Turn:
    """A new consent, once for each request id."""
    if item.request_id in person.requests:
        return _again(person, item.request_id, item.digest)
    start_ms = now_ms if item.start_ms is None else item.start_ms
    by_representative = item.actor.role == "representative"
    refusal = (
        closed(person)
        or _stranger(person, item.actor, now_ms)
        or conflict(item.limits.secret and item.actor.role != "holder")
        or conflict(not start_ms < item.end_ms or item.end_ms <= now_ms)
        or conflict(item.service not in person.paired and not item.pairs)
    )
    if refusal:
        return Turn(person, (), refusal)
    pairing = () if item.service in person.paired else (Line("pairing.created", "portal"),)
    person = replace(person, paired=person.paired | {item.service})
    right = Right(
        local=fresh.local,
        name=fresh.name,
        service=item.service,
        scope=item.scope,
        start_ms=start_ms,
        end_ms=item.end_ms,
        refuses=item.limits.effect == "DENY",
        quota=_quota(item.limits),
        confirm_ms=person.majority_ms if by_representative else None,
        secret=item.limits.secret,
        kids=frozenset({item.assertion.kid} if item.assertion else ()),
    )
    line = Line("consent.granted", item.actor.role, (f"{right.name}/revisions/1",), "", right.end_ms)
    return Turn(_asked(person.put(right), item, right.local), (*pairing, line), right.shown())


def amend(person: Person, item: c.Amend, now_ms: int) -> Turn:
    """Other terms, of an active consent of an active profile."""
    right = person.rights[item.consent]
    if refusal := _unseen(right, item.actor) or _stranger(person, item.actor, now_ms):
        return Turn(person, (), refusal)
    if item.request_id in person.requests:
        return _again(person, item.request_id, item.digest)
    refusal = (
        _stale(right, item.etag)
        or closed(person)
        or conflict(right.today(now_ms).state != "ACTIVE")
        or conflict((item.limits.effect == "DENY") != right.refuses)
        or conflict(item.limits.secret and item.actor.role != "holder")
        or conflict(not right.start_ms < item.end_ms or item.end_ms <= now_ms)
    )
    if refusal:
        return Turn(person, (), refusal)
    amended = replace(
        right,
        scope=item.scope,
        end_ms=item.end_ms,
        quota=_quota(item.limits),
        confirm_ms=person.majority_ms if item.actor.role == "representative" else None,
        secret=item.limits.secret,
    )
    person, line = revise(person, amended, "consent.amended", item.actor.role)
    return Turn(_asked(person, item, right.local), (line,), person.rights[right.local].shown())


def move(person: Person, item: c.MoveConsent, now_ms: int) -> Turn:
    """Suspended, resumed, revoked: a repeat changes nothing, and what has ended stays so."""
    right, role = person.rights[item.consent], item.actor.role
    if refusal := _unseen(right, item.actor) or _stranger(person, item.actor, now_ms):
        return Turn(person, (), refusal)
    today, to = right.today(now_ms), item.to.value
    stronger = {"holder": ("platform", "representative"), "representative": ("platform",)}
    takes_over = to == "SUSPENDED" and today.cause in stronger.get(role, ())
    if today.state == to and not takes_over:
        return Turn(person, (), today.shown())
    refusal = _stale(right, item.etag) or conflict(today.state not in STANDING)
    if not refusal and to == "ACTIVE":
        held = today.cause == "platform" or (role == "representative" and today.cause != "representative")
        refusal = closed(person) or conflict(held)
    if refusal:
        return Turn(person, (), refusal)
    lines: list[Line] = []
    if to == "ACTIVE":
        person, lines = settle(person, right, now_ms)
        right = _confirmed(person.rights[right.local], role, now_ms)
    moved = replace(right, state=to, cause=role if to == "SUSPENDED" else "")
    person, line = revise(person, moved, f"consent.{_MOVED[to]}", role)
    return Turn(person, (*lines, line), person.rights[right.local].shown())


def _confirmed(right: Right, role: str, now_ms: int) -> Right:
    """A holder of age who resumes what a representative gave makes it their own."""
    of_age = right.confirm_ms is not None and right.confirm_ms <= now_ms
    waited = right.cause not in ("holder", "representative") or of_age
    return replace(right, confirm_ms=None) if role == "holder" and waited else right


_PROFILE_MOVES = {
    "profile.activated": {"INFORMED": "ACTIVE", "OPENED": "ACTIVE", "ACTIVE": "ACTIVE"},
    "profile.suspended": {"ACTIVE": "SUSPENDED", "CLOSED": "BARRED"},
    "profile.resumed": {"SUSPENDED": "ACTIVE", "BARRED": "CLOSED", "ACTIVE": "ACTIVE", "CLOSED": "CLOSED"},
    "profile.closed": {"INFORMED": "CLOSED", "OPENED": "CLOSED", "ACTIVE": "CLOSED", "SUSPENDED": "BARRED"},
    "profile.reopened": {"CLOSED": "ACTIVE", "BARRED": "SUSPENDED", "ACTIVE": "ACTIVE", "SUSPENDED": "SUSPENDED"},
}
for _repeated, _statuses in (("profile.suspended", ("SUSPENDED", "BARRED")), ("profile.closed", ("CLOSED", "BARRED"))):
    _PROFILE_MOVES[_repeated].update({status: status for status in _statuses})


def move_profile(person: Person, item: c.MoveProfile, now_ms: int) -> Turn:
    """Closing ends all consents; the platform's suspension pauses them, and its end resumes those that it paused."""
    move, was, role = item.move.value, person.status, item.actor.role
    if refusal := _stranger(person, item.actor, now_ms):
        return Turn(person, (), refusal)
    to = _PROFILE_MOVES[move].get(was)
    if to is None:
        return Turn(person, (), Reason.STATE_CONFLICT)
    if was == to:
        return Turn(person, (), to)
    person, lines = replace(person, status=to, opens_ms=None), [Line(move, role)]
    for right in person.standing():
        person, settled = settle(person, right, now_ms)
        lines += settled
        for moved in _with_profile(person.rights[right.local], move):
            person, line = revise(person, moved, f"consent.{_MOVED[moved.state]}", role)
            person, settled = settle(person, person.rights[moved.local], now_ms)
            lines += [line, *settled]
    return Turn(person, tuple(lines), to)


def _with_profile(right: Right, move: str) -> Iterator[Right]:
    if right.state not in STANDING:
        return
    if move == "profile.closed":
        yield replace(right, state="ENDED", cause="")
    elif move == "profile.suspended" and right.state == "ACTIVE":
        yield replace(right, state="SUSPENDED", cause="platform")
    elif move == "profile.resumed" and right.cause == "platform":
        yield replace(right, state="ACTIVE", cause="")


def _again(person: Person, request_id: str, digest: str) -> Turn:
    known, local = person.requests[request_id]
    return Turn(person, (), person.rights[local].shown() if known == digest else Reason.REQUEST_ID_REUSED)


def _asked(person: Person, item: c.Grant | c.Amend, local: int) -> Person:
    return replace(person, requests={**person.requests, item.request_id: (item.digest, local)})


def _quota(limits: Any) -> tuple[int, int] | None:
    return (limits.quota.limit, limits.quota.period_s) if limits.quota else None


def closed(person: Person) -> Reason | None:
    """Why nothing new may be done with a profile that is not active."""
    if person.status == "SUSPENDED":
        return Reason.PROFILE_SUSPENDED
    return None if person.status == "ACTIVE" else Reason.PROFILE_NOT_OPEN


def _stranger(person: Person, actor: c.Actor, now_ms: int) -> Reason | None:
    if actor.role != "representative":
        return None
    minor = person.majority_ms is not None and now_ms < person.majority_ms
    return conflict(not minor or actor.person not in person.representatives)


def _unseen(right: Right, actor: c.Actor) -> Reason | None:
    return Reason.RESOURCE_NOT_FOUND if right.secret and actor.role == "representative" else None


def _stale(right: Right, etag: str) -> Reason | None:
    return Reason.ETAG_MISMATCH if etag and etag != f'"{right.revision}"' else None


def conflict(is_one: bool) -> Reason | None:
    """STATE_CONFLICT, where there is one."""
    return Reason.STATE_CONFLICT if is_one else None
