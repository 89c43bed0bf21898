"""The ledger beside its model, one command at a time: consents, profiles, exchanges and the clock, drawn in any order.

After each command the log must have gained exactly the entries that the model foretells, the caller have its answer, and the
promise hold. Leaves what must hold between commands to whoever runs it.
"""

import asyncio
import inspect
import random
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Effect, Limits, Quota
from services.ctl.logbook import Promise
from services.errors import AccordError, Reason
from services.formats.entry import EntryType, OutcomeResult
from services.formats.rights import Direction, Purpose, Scope
from tests.races.arena import Arena
from tests.races.history import Seen
from tests.races.people import UNSEEN, Line, Person
from tests.races.world import Place, World, answer_of, line_of, step
from tests.support.ledgers import DAY_MS, EVERYTHING, NOTICE, RECIPIENT, SENDER, ins, query

PEOPLE, SERVICES = st.sampled_from([0, 0, 0, 1, 1, 1, 2]), st.sampled_from([SENDER, RECIPIENT])
WHICH = st.integers(0, 9)
"""Of what there is, counted from the newest."""
MAJORITY_MS, SIX_WEEKS_MS = 60_000, 42 * DAY_MS
SCOPES = st.sampled_from(
    [
        EVERYTHING,
        Scope(frozenset({"class:10"}), frozenset(Direction), frozenset({Purpose.CARE})),
        Scope(frozenset({"class:11"}), frozenset({Direction.READ}), frozenset(Purpose)),
    ]
)
LIVES = st.sampled_from([90 * DAY_MS, 90 * DAY_MS, 90 * DAY_MS, DAY_MS, 1500, 1500, 20_000, 0])
ACTORS = st.sampled_from(
    [c.Actor(c.HOLDER, "eidas2"), c.Actor(c.HOLDER, "eidas2"), c.Actor(c.REPRESENTATIVE, "eidas2", "mother")]
)
TERMS = st.builds(
    Limits,
    effect=st.just(Effect.PERMIT),
    quota=st.sampled_from([None, Quota(1), Quota(2, 10)]),
    secret=st.sampled_from([False, False, False, True]),
)
REFUSES = st.sampled_from([False, False, False, False, True])
ETAGS = st.sampled_from(["", "", "", "right", "right", '"99"'])


F = TypeVar("F", bound=Callable[..., None])


def drawn(weight: int, **arguments: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """A command of the machine: how often it is drawn, and from what its arguments are.

    Not a rule of its own: Hypothesis leaves most rules out of most runs, and commands matter by meeting others.
    """

    def mark(method: F) -> F:
        method.drawn = weight, st.fixed_dictionaries(arguments)  # type: ignore[attr-defined]
        return method

    return mark


class LedgerMachine(RuleBasedStateMachine):
    """The ledger beside its model; time stands still until it is moved."""

    def __init__(self, url: str) -> None:
        super().__init__()
        with patch.object(secrets, "randbits", random.Random(1).getrandbits):
            self.arena = Arena(url, replicas=1)
        self.bench, self.replica = self.arena.benches[0], self.arena.replicas[0]
        self.world, self.promise, self.log = World(), Promise(), list[Seen]()
        self.addresses: list[c.Address] = []
        self.consents: list[c.Consent] = []
        self.authorizations: list[tuple[int, str, int]] = []
        self.settled: dict[int, tuple[OutcomeResult, int]] = {}
        self.erased: set[int] = set()
        self.numbers = iter(range(1, 1 << 20))
        commands = {name: method.drawn for name, method in inspect.getmembers(type(self)) if hasattr(method, "drawn")}
        self.arguments = {name: arguments for name, (_, arguments) in commands.items()}
        self.weighted = [name for name, (weight, _) in commands.items() for _ in range(weight)]

    def teardown(self) -> None:
        asyncio.run(self.arena.close())

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What it answers, or the reason of its refusal."""
        try:
            return self.replica.submit(work).result()
        except AccordError as error:
            return error.reason

    @property
    def now_ms(self) -> int:
        return max(self.arena.hand.now_ms, self.arena.time_ms)

    def gained(self) -> list[Seen]:
        """What the log gained, the register's own entries apart."""
        new = self.arena.read()
        self.log += new
        for seen in new:
            assert self.promise.take(seen.index, seen.entry) == ""
        return [seen for seen in new if seen.entry.type is not EntryType.REGISTRY_OBSERVED]

    def do(self, item: Any) -> Any:
        """A command whose effect the model foretells."""
        answer = self.call(self.bench.ledger.do(item))
        new = self.gained()
        fresh = next((seen.fresh for seen in new if seen.fresh is not UNSEEN), UNSEEN)
        swept = tuple(seen.entry.outcome.authorization for seen in new if seen.entry.outcome)
        foretold = step(self.world, item, self.now_ms, Place(new[0].index if new else 0, fresh, swept))
        compare(new, foretold.lines)
        assert answer_of(answer) == foretold.answer
        self.world = foretold.world
        if isinstance(answer, c.Consent) and fresh is not UNSEEN:
            self.consents.append(answer)
        return answer

    def standing(self, which: int) -> c.Consent | None:
        """One of the consents of those who were not erased, the newest first."""
        known = [consent for consent in self.consents if consent.patient not in self.erased]
        return known[-1 - which % len(known)] if known else None

    @initialize()
    def three_people(self) -> None:
        """One of age, one who comes of age soon, one who was informed and not asked."""
        asked = [c.OpenProfile(ins(1)), c.OpenProfile(ins(2), majority_ms=self.now_ms + MAJORITY_MS)]
        for item in (*asked, c.OpenProfile(ins(3), opt_out=True)):
            profile = self.call(self.bench.across.open_profile(item))
            opens_ms = self.now_ms + SIX_WEEKS_MS if item.opt_out else None
            person = Person(profile.status.value, majority_ms=item.majority_ms, opens_ms=opens_ms)
            self.world = self.world.put(profile.address.patient, person)
            self.addresses.append(profile.address)
            compare(self.gained(), (Line("profile.informed" if item.opt_out else "profile.opened", "portal"),))
        for number in (0, 1):
            for service in (SENDER, RECIPIENT):
                self.do(c.Pair(self.addresses[number], service))
        self.do(c.Represent(self.addresses[1], "mother", allowed=True))
        for number, actor in ((0, c.Actor(c.HOLDER, "eidas2")), (1, c.Actor(c.REPRESENTATIVE, "eidas2", "mother"))):
            for service in (SENDER, RECIPIENT):
                self.grant(number, service, EVERYTHING, 30 * DAY_MS, actor, Limits(), False, None, "good")

    @rule(data=st.data())
    def next_command(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.weighted))
        getattr(self, name)(**data.draw(self.arguments[name]))

    @drawn(3, by_ms=st.sampled_from([1, 500, 1000, 1000, 5000, 5000, 5000, MAJORITY_MS, MAJORITY_MS, SIX_WEEKS_MS]))
    def time_passes(self, by_ms: int) -> None:
        self.arena.hand.move(by_ms)

    @drawn(1, person=PEOPLE, service=SERVICES)
    def pair(self, person: int, service: str) -> None:
        if self.addresses[person].patient not in self.erased:
            self.do(c.Pair(self.addresses[person], service))

    @drawn(1, person=PEOPLE, name=st.sampled_from(["mother", "father"]), allowed=st.booleans())
    def represent(self, person: int, name: str, allowed: bool) -> None:
        if self.addresses[person].patient not in self.erased:
            self.do(c.Represent(self.addresses[person], name, allowed))

    @drawn(
        5,
        person=PEOPLE,
        service=SERVICES,
        scope=SCOPES,
        life_ms=LIVES,
        actor=ACTORS,
        limits=TERMS,
        refuses=REFUSES,
        later_ms=st.sampled_from([None, None, None, 3000]),
        kid=st.sampled_from(["", "good", "stolen"]),
    )
    def grant(
        self,
        person: int,
        service: str,
        scope: Scope,
        life_ms: int,
        actor: c.Actor,
        limits: Limits,
        refuses: bool,
        later_ms: int | None,
        kid: str,
    ) -> None:
        number = next(self.numbers)
        item = c.Grant(
            address=self.addresses[person],
            service=service,
            scope=scope,
            start_ms=self.now_ms + later_ms if later_ms is not None else None,
            end_ms=self.now_ms + life_ms,
            notice_sha256=NOTICE,
            actor=actor,
            request_id=f"request {number}",
            digest="once",
            limits=replace(limits, effect=Effect.DENY, quota=None) if refuses else limits,
            assertion=c.Assertion(f"token {number}", kid) if kid else None,
        )
        if item.address.patient in self.erased:
            assert self.call(self.bench.ledger.do(item)) is Reason.RESOURCE_NOT_FOUND
            return
        self.do(item)
        self.do(item)
        if isinstance(self.do(replace(item, digest="another")), c.Consent):
            raise AssertionError("one request id, two grants")

    @drawn(3, which=WHICH, scope=SCOPES, life_ms=LIVES, actor=ACTORS, limits=TERMS, etag=ETAGS)
    def amend(self, which: int, scope: Scope, life_ms: int, actor: c.Actor, limits: Limits, etag: str) -> None:
        known = self.standing(which)
        if known is None:
            return
        if known.limits.effect is Effect.DENY:
            limits = replace(limits, effect=Effect.DENY, quota=None)
        end_ms, request_id = self.now_ms + life_ms, f"request {next(self.numbers)}"
        said = self.etag(known) if etag == "right" else etag
        item = c.Amend(0, known.consent, scope, end_ms, NOTICE, limits, actor, request_id, "once", said)
        self.do(item)
        self.do(item)

    def etag(self, known: c.Consent) -> str:
        """The consent's etag as it stands."""
        found = self.bench.find_consent(0, known.consent)
        assert found is not None
        return found.etag

    @drawn(
        9,
        which=WHICH,
        to=st.sampled_from([ConsentState.SUSPENDED, ConsentState.ACTIVE, ConsentState.REVOKED]),
        actor=ACTORS,
        etag=ETAGS,
    )
    def move(self, which: int, to: ConsentState, actor: c.Actor, etag: str) -> None:
        known = self.standing(which)
        if known is not None:
            said = self.etag(known) if etag == "right" else etag
            self.do(c.MoveConsent(0, known.consent, to, actor, said))

    @drawn(
        4,
        person=PEOPLE,
        move=st.sampled_from(
            [
                EntryType.PROFILE_ACTIVATED,
                EntryType.PROFILE_SUSPENDED,
                EntryType.PROFILE_RESUMED,
                EntryType.PROFILE_CLOSED,
                EntryType.PROFILE_REOPENED,
            ]
        ),
        actor=st.sampled_from([c.Actor(c.HOLDER, "eidas2"), c.Actor(c.PLATFORM, "")]),
    )
    def move_profile(self, person: int, move: EntryType, actor: c.Actor) -> None:
        if self.addresses[person].patient not in self.erased:
            self.do(c.MoveProfile(self.addresses[person], move, actor))

    @drawn(
        14,
        person=PEOPLE,
        service=SERVICES,
        categories=st.sampled_from([{"class:10"}, {"class:10"}, {"class:11"}, {"class:10", "class:11"}]),
        purpose=st.sampled_from([Purpose.CARE, Purpose.CARE, Purpose.CARE, Purpose.DIAGNOSIS]),
        again=st.sampled_from([None, None, 0, 1]),
    )
    def authorize(self, person: int, service: str, categories: set[str], purpose: Purpose, again: int | None) -> None:
        """The decision is what advice was, by the same facts."""
        asked = self.question(person, service, frozenset(categories), purpose)
        known = [exchange for _, exchange, who in self.authorizations if who == person]
        exchange = known[-1 - again] if again is not None and len(known) > again else self.bench.exchange()
        advised = answer_of(self.call(self.bench.advice.check(c.Check(asked, exchange=exchange))))
        decision = self.do(c.Authorize(asked, exchange, (), "t" * 43))
        assert answer_of(decision) == advised
        if decision.permit is not None:
            self.authorizations.append((decision.appended.index, exchange, person))

    def question(self, person: int, service: str, categories: frozenset[str], purpose: Purpose) -> c.Query:
        other = RECIPIENT if service == SENDER else SENDER
        return query(
            self.addresses[person], service=service, counterparty=other, categories=categories, purpose=purpose
        )

    @drawn(2)
    def sweep(self) -> None:
        """What nobody settled, and what the clock has decided; a second time there is nothing left."""
        before = len(self.log)
        for item in (c.Sweep(0, self.now_ms - 1000), c.SweepConsents(0)):
            self.do(item)
            assert self.do(item) == 0
        for seen in self.log[before:]:
            if seen.entry.outcome is not None:
                self.settled[seen.entry.outcome.authorization] = (OutcomeResult.UNKNOWN, seen.index)


def compare(new: Sequence[Seen], lines: Sequence[Line]) -> None:
    """The log gained exactly these entries; those after the first in any order."""
    found = [line_of(seen.entry) for seen in new]
    assert sorted(map(repr, found)) == sorted(map(repr, lines)), f"the log gained {found}, not {lines}"
