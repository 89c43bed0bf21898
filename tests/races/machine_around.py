"""The same machine with the commands around consents: outcomes, requests, notices, retractions, erasure."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from services.consent.domain import commands as c
from services.consent.domain.asserted import AssertionFilter, Withdrawn
from services.consent.domain.terms import Limits
from services.errors import Reason
from services.formats.entry import OutcomeResult
from services.formats.rights import Scope
from tests.races import around
from tests.races.machine import PEOPLE, SCOPES, SERVICES, WHICH, LedgerMachine, compare, drawn
from tests.races.people import UNSEEN, Line
from tests.races.world import Place, answer_of, line_of, step
from tests.support.ledgers import DAY_MS, NOTICE


@dataclass(frozen=True)
class Asked:
    """A service's request, and what became of it."""

    request: c.Request
    decided: str = ""
    patient: int = 0


class AroundMachine(LedgerMachine):
    """Every command of the ledger."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.requests: list[Asked] = []

    @drawn(
        3, which=WHICH, result=st.sampled_from([OutcomeResult.DELIVERED, OutcomeResult.FAILED, OutcomeResult.UNKNOWN])
    )
    def record_outcome(self, which: int, result: OutcomeResult) -> None:
        """One outcome each; what was UNKNOWN may become known."""
        if not self.authorizations:
            return
        index, exchange, _ = self.authorizations[-1 - which % len(self.authorizations)]
        item = c.RecordOutcome(0, index, exchange, result, 10, None, None, "", "")
        answer, new = self.call(self.bench.ledger.do(item)), self.gained()
        known, at = self.settled.get(index, (None, 0))
        if known is not None and known is result:
            assert (answer, new) == (c.Outcome(0, index, at), [])
        elif known not in (None, OutcomeResult.UNKNOWN):
            assert (answer, new) == (Reason.STATE_CONFLICT, [])
        else:
            compare(new, (Line("exchange.outcome", "broker", number=index),))
            self.settled[index] = (result, new[0].index)
            assert answer == c.Outcome(0, index, new[0].index)
            left = {at: time_ms for at, time_ms in self.world.unsettled.items() if at != index}
            self.world = replace(self.world, unsettled=left)

    @drawn(2, which=WHICH, service=SERVICES)
    def acknowledge(self, which: int, service: str) -> None:
        known = self.standing(which)
        if known is not None:
            self.do(c.AcknowledgeRevocation(0, known.consent, service))

    @drawn(1, which=WHICH, revision=st.integers(1, 3), sent_ms=st.sampled_from([0, 1]))
    def notify(self, which: int, revision: int, sent_ms: int) -> None:
        known = self.standing(which)
        if known is not None:
            address = c.Address(0, known.patient)
            self.do(c.RecordNotice(address, 0, known.consent, revision, "mes", self.now_ms + sent_ms))

    @drawn(1, service=SERVICES, person=st.sampled_from([0, 1, None]))
    def refuse(self, service: str, person: int | None) -> None:
        address = self.addresses[person] if person is not None else None
        item = c.RecordRefusal(service, address, self.bench.exchange(), Reason.DOCUMENT_MALFORMED)
        self.call(self.bench.ledger.do(item))
        compare(self.gained(), (Line("exchange.refused", "broker", reason=Reason.DOCUMENT_MALFORMED),))

    @drawn(1)
    def read_as_auditor(self) -> None:
        self.call(self.bench.ledger.do(c.RecordRead(0, "GetEntry", {})))
        compare(self.gained(), (Line("audit.read", "auditor"),))

    @drawn(1, service=SERVICES, scope=SCOPES, life_s=st.sampled_from([5, 3600]))
    def request(self, service: str, scope: Scope, life_s: int) -> None:
        number = f"request {next(self.numbers)}"
        end_ms = self.now_ms + 30 * DAY_MS
        item = c.RequestConsent(service, scope, None, end_ms, Limits(), life_s, number, "once")
        request = self.call(self.bench.ledger.do(item))
        compare(self.gained(), (Line("consent.requested", "service"),))
        assert self.call(self.bench.ledger.do(item)) == request
        assert self.gained() == []
        self.requests.append(Asked(request))

    @drawn(2, which=WHICH, person=PEOPLE, granted=st.booleans())
    def answer(self, which: int, person: int, granted: bool) -> None:
        """Granted, or rejected, for one patient; what cannot be granted uses no request up."""
        address = self.addresses[person]
        if address.patient in self.erased or not self.requests:
            return
        place = -1 - which % len(self.requests)
        asked = self.requests[place]
        word = "granted" if granted else "rejected"
        refusal = self.undecidable(asked, address, word)
        if granted:
            decided = self.grant_asked(asked.request, address, refusal)
        else:
            item = c.DecideRequest(0, asked.request.request, address, False, c.Actor(c.HOLDER, "eidas2"))
            answer, new = self.call(self.bench.ledger.do(item)), self.gained()
            assert (answer if isinstance(answer, Reason) else None) is refusal
            compare(new, (Line("consent.rejected", c.HOLDER),) if not refusal and not asked.decided else ())
            decided = refusal is None
        if decided and not asked.decided:
            self.requests[place] = Asked(asked.request, word, address.patient)

    def undecidable(self, asked: Asked, address: c.Address, word: str) -> Reason | None:
        """Why this patient cannot decide this request so."""
        if asked.decided:
            return None if (asked.decided, asked.patient) == (word, address.patient) else Reason.STATE_CONFLICT
        return Reason.REQUEST_EXPIRED if self.now_ms >= asked.request.expires_ms else None

    def grant_asked(self, request: c.Request, address: c.Address, refusal: Reason | None) -> bool:
        """The consent that answers a request: what a grant makes of it, by an id that only the request has."""
        item = c.Grant(
            address=address,
            service=request.service,
            scope=request.scope,
            start_ms=None,
            end_ms=request.end_ms,
            notice_sha256=NOTICE,
            actor=c.Actor(c.HOLDER, "eidas2"),
            request_id="",
            digest="once",
        )
        answer, new = self.call(self.bench.across.grant(item, request.shard, request.request)), self.gained()
        if refusal is not None:
            assert (answer, new) == (refusal, [])
            return False
        fresh = next((seen.fresh for seen in new if seen.fresh is not UNSEEN), UNSEEN)
        granting = replace(item, request_id=f"of request {request.request}", pairs=True)
        foretold = step(self.world, granting, self.now_ms, Place(0, fresh))
        compare(new, foretold.lines)
        assert answer_of(answer) == foretold.answer
        self.world = foretold.world
        if isinstance(answer, c.Consent) and fresh is not UNSEEN:
            self.consents.append(answer)
        return isinstance(answer, c.Consent)

    @drawn(1, kid=st.sampled_from(["good", "stolen"]))
    def retract(self, kid: str) -> None:
        """All that rests on one key's word is withdrawn."""
        item = c.RevokeAsserted(0, AssertionFilter("", kid, 0, 1 << 60), None, "stolen key")
        answer = self.call(self.bench.ledger.do(item))
        people, lines = around.retract(self.world.people, kid, self.now_ms)
        new = self.gained()
        assert sorted(map(repr, lines)) == sorted(repr(line_of(seen.entry)) for seen in new)
        assert isinstance(answer, Withdrawn)
        assert (len(answer.revoked), answer.after) == (len(lines), None)
        self.world = replace(self.world, people=people)

    @drawn(1, person=PEOPLE, sure=st.sampled_from([False, False, True]))
    def erase(self, person: int, sure: bool) -> None:
        """Nothing of the patient is shown any more, and whoever asks is a stranger."""
        address = self.addresses[person]
        if not sure or address.patient in self.erased:
            return
        lines, refusal = around.erase(self.world.people[address.patient])
        answer = self.call(self.bench.ledger.do(c.Erase(address, "gdpr_17", traces_too=True)))
        new = self.gained()
        assert [seen.entry.type.value for seen in new] == [line.type for line in lines]
        assert (answer if isinstance(answer, Reason) else None) is refusal
        if refusal is None:
            self.erased.add(address.patient)
            people = {known: it for known, it in self.world.people.items() if known != address.patient}
            self.world = replace(self.world, people=people)
