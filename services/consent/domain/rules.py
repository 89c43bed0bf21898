"""The rules that a consent must meet to carry one side of an exchange, and what makes it a refusal of it.

Every rule is a reason and whether it holds, in one order that `decide` and `explain` share. Doubt means no: data whose
dates or labels are not known meets no rule about dates or labels.
"""

from collections.abc import Iterable

from services.consent.domain.facts import ConsentFact, Facts
from services.consent.domain.lifecycle import FINAL, ConsentState
from services.consent.domain.terms import Effect, Limits
from services.errors import Reason
from services.formats.rights import Direction, covers, touches

Rule = tuple[Reason, bool]
"""The reason for failing a rule, and whether it holds."""

HIDDEN_FROM_PATIENT = "INVISIBLE_PATIENT"
"""What the patient may not see yet (R1111-53) goes to no service that acts for them."""
HIDDEN_FROM_REPRESENTATIVES = "INVISIBLE_REPRESENTANTS_LEGAUX"
"""What a minor keeps from their representatives (R1111-50) goes to no service by a representative's consent."""


def failed(rules_in_order: Iterable[Rule]) -> Reason | None:
    """The reason of the first rule that does not hold."""
    return next((reason for reason, holds in rules_in_order if not holds), None)


def lasts(instant_ms: int, now_ms: int) -> bool:
    """Whether an instant lies in a later second than now's.

    A permit counts whole seconds: the last second of a right, where it is not whole, permits nothing.
    """
    return now_ms // 1000 < instant_ms // 1000


def rules(consent: ConsentFact, direction: Direction, facts: Facts, now_ms: int) -> tuple[Rule, ...]:
    """Every rule that a consent must meet, those first whose failure is farthest from a right."""
    scope, limits, state = consent.scope, consent.limits, consent.state
    return (
        (Reason.DIRECTION_NOT_GRANTED, direction in scope.directions),
        (Reason.PURPOSE_NOT_GRANTED, facts.purpose in scope.purposes),
        (Reason.CATEGORY_NOT_GRANTED, covers(scope.categories, facts.categories)),
        (Reason.CONSENT_REVOKED, state is not ConsentState.REVOKED),
        (Reason.CONSENT_ENDED, state is not ConsentState.ENDED),
        (Reason.CONSENT_EXPIRED, state is not ConsentState.EXPIRED and _unspent(consent, direction, now_ms)),
        (Reason.CONSENT_SUSPENDED, state is not ConsentState.SUSPENDED and _confirmed(limits, now_ms)),
        (Reason.CONSENT_NOT_YET_VALID, consent.start_ms <= now_ms),
        (Reason.DATA_EXCLUDED, not touches(limits.exceptions, facts.categories)),
        (Reason.LABEL_EXCLUDED, _labels_allowed(limits, direction, facts)),
        (Reason.DATA_PERIOD_NOT_GRANTED, _in_period(limits, facts)),
        (Reason.QUOTA_EXHAUSTED, limits.quota is None or consent.counted or consent.used < limits.quota.limit),
    )


def shortfall(consent: ConsentFact, direction: Direction, facts: Facts, now_ms: int) -> tuple[int, Reason] | None:
    """The first rule that a consent fails, by place and reason; None when it carries this side of the exchange."""
    found = enumerate(rules(consent, direction, facts, now_ms))
    return next(((place, reason) for place, (reason, holds) in found if not holds), None)


def ends(consent: ConsentFact, direction: Direction) -> tuple[int, ...]:
    """The instants, each of which ends what this consent carries in this direction."""
    erase_ms = consent.limits.erase_ms if direction is Direction.READ else None
    return tuple(end for end in (consent.end_ms, consent.limits.confirm_ms, erase_ms) if end is not None)


def opposes(consent: ConsentFact, direction: Direction, facts: Facts) -> bool:
    """Whether this is a refusal that touches what is asked, its dates apart.

    A refusal takes no limits: whatever it touches, it touches whole. Suspended, it still stands: a pause gives no right.
    """
    return (
        consent.limits.effect is not Effect.PERMIT
        and consent.state not in FINAL
        and direction in consent.scope.directions
        and facts.purpose in consent.scope.purposes
        and touches(consent.scope.categories, facts.categories)
    )


def refuses(consent: ConsentFact, direction: Direction, facts: Facts, now_ms: int) -> bool:
    """Whether this is a refusal that bites now: from the second of its start until before its end."""
    in_time = not lasts(consent.start_ms, now_ms) and now_ms < consent.end_ms
    return in_time and opposes(consent, direction, facts)


def _unspent(consent: ConsentFact, direction: Direction, now_ms: int) -> bool:
    # What must have been erased already must not be received at all.
    erase_ms = consent.limits.erase_ms if direction is Direction.READ else None
    return lasts(consent.end_ms, now_ms) and (erase_ms is None or lasts(erase_ms, now_ms))


def _confirmed(limits: Limits, now_ms: int) -> bool:
    return limits.confirm_ms is None or lasts(limits.confirm_ms, now_ms)


def _labels_allowed(limits: Limits, direction: Direction, facts: Facts) -> bool:
    excepted = {item for item in limits.exceptions if item.startswith("label:")}
    if excepted and not facts.labels:
        return False
    by_representative = limits.confirm_ms is not None
    if by_representative and direction is Direction.READ and HIDDEN_FROM_REPRESENTATIVES in facts.labels:
        return False
    return not any(f"label:{label}" in excepted for label in facts.labels)


def _in_period(limits: Limits, facts: Facts) -> bool:
    oldest, newest = facts.data_from_ms, facts.data_until_ms
    known = [date for date in (oldest, newest) if date is not None]
    # Both dates are held to both bounds: an older newest than oldest must not slip between them.
    after = limits.data_from_ms is None or (oldest is not None and limits.data_from_ms <= min(known))
    before = limits.data_until_ms is None or (newest is not None and max(known) < limits.data_until_ms)
    return after and before
