"""Facts that permit, and ways to change one part of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.consent.domain.decision import ConsentFact, Deny, Facts, Party, Permit, Standing, decide
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import Effect, Limits
from services.errors import Reason
from services.formats.lease import Convention, Status
from services.formats.rights import Direction, Purpose, Scope

DAY_MS = 86_400_000
NOW_MS = 1_795_443_328_123
NOW_S = NOW_MS // 1000
SCOPE = Scope(frozenset({"class:10", "class:42"}), frozenset(Direction), frozenset({Purpose.CARE, Purpose.PREVENTION}))
CONVENTION = Convention(SCOPE, NOW_MS - DAY_MS, NOW_MS + DAY_MS, "a" * 64, ins_in_documents=True)
STANDING = Standing(Status.REFERENCED_WITH_EXCHANGE, CONVENTION)
CONSENT = ConsentFact("consents/1/revisions/1", ConsentState.ACTIVE, SCOPE, NOW_MS - DAY_MS, NOW_MS + DAY_MS)
FIRST = Party("services/lumen", Direction.DEPOSIT, STANDING, True, (CONSENT,))
SECOND = Party(
    "services/carnet", Direction.READ, STANDING, True, (replace(CONSENT, revision="consents/2/revisions/1"),)
)
FACTS = Facts(ProfileStatus.ACTIVE, (FIRST, SECOND), Purpose.CARE, frozenset({"class:10"}), (True,))
READER = replace(SECOND, consents=(CONSENT,))
Change = Callable[[Party], Party]


def party(**changes: Any) -> Change:
    return lambda it: replace(it, **changes)


def standing(**changes: Any) -> Change:
    return lambda it: replace(it, standing=replace(STANDING, **changes))


def convention(**changes: Any) -> Change:
    return standing(convention=replace(CONVENTION, **changes))


def consent(**changes: Any) -> Change:
    return lambda it: replace(it, consents=tuple(replace(item, **changes) for item in it.consents))


def limits(**changes: Any) -> Change:
    return consent(limits=Limits(**changes))


def narrower(**changes: Any) -> Scope:
    return replace(SCOPE, **changes)


def only(*categories: str) -> Scope:
    return narrower(categories=frozenset(categories))


def refusal(*categories: str, **changes: Any) -> ConsentFact:
    """A consent that refuses these categories and permits nothing."""
    refused = replace(CONSENT, revision="consents/9/revisions/1", limits=Limits(effect=Effect.DENY))
    return replace(refused, **{"scope": only(*categories)} | changes)


def facts(*parties: Party, **changes: Any) -> Facts:
    return replace(FACTS, parties=parties or FACTS.parties, **changes)


def permitted(asked: Facts, now_ms: int = NOW_MS) -> bool:
    return isinstance(decide(asked, now_ms), Permit)


def until(asked: Facts, now_ms: int = NOW_MS) -> int:
    """When the permit ends, in seconds since 1970."""
    verdict = decide(asked, now_ms)
    assert isinstance(verdict, Permit), verdict
    return verdict.until_s


def reason(asked: Facts, now_ms: int = NOW_MS) -> Reason | None:
    """The reason that is recorded; None for a permit."""
    verdict = decide(asked, now_ms)
    return verdict.reason if isinstance(verdict, Deny) else None


def told(asked: Facts, now_ms: int = NOW_MS) -> Reason | None:
    """The reason that the asking service hears; None for a permit."""
    verdict = decide(asked, now_ms)
    return verdict.told if isinstance(verdict, Deny) else None
