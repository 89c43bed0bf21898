"""Whether what a patient grants is no more than what a service asked for (they may narrow it), term by term."""

from services.consent.domain.terms import Effect, Limits, Quota
from services.consent.domain.values import Request
from services.errors import Violation
from services.formats.rights import Scope


def widenings(request: Request, scope: Scope, start_ms: int | None, end_ms: int, limits: Limits) -> list[Violation]:
    """Every term that goes beyond the request; none where the grant is as asked, or narrower."""
    asked = request.limits
    rules = (
        (scope.within(request.scope), "consent.scope", "is wider than was asked"),
        (_not_before(start_ms, request.start_ms), "consent.start_time", "is earlier than was asked"),
        (end_ms <= request.end_ms, "consent.end_time", "is later than was asked"),
        (limits.effect is Effect.PERMIT, "consent.limits.effect", "must not refuse: reject the request"),
        (asked.exceptions <= limits.exceptions, "consent.limits.exceptions", "leaves out less than was asked"),
        (_as_tight(limits.quota, asked.quota), "consent.limits.quota", "is higher than was asked"),
        (
            _not_before(limits.data_from_ms, asked.data_from_ms),
            "consent.limits.data_start_time",
            "is earlier than asked",
        ),
        (_not_after(limits.data_until_ms, asked.data_until_ms), "consent.limits.data_end_time", "is later than asked"),
        (_not_after(limits.erase_ms, asked.erase_ms), "consent.limits.erase_time", "is later than asked"),
    )
    return [Violation(field, description) for holds, field, description in rules if not holds]


def _not_before(given_ms: int | None, asked_ms: int | None) -> bool:
    return asked_ms is None or (given_ms is not None and given_ms >= asked_ms)


def _not_after(given_ms: int | None, asked_ms: int | None) -> bool:
    return asked_ms is None or (given_ms is not None and given_ms <= asked_ms)


def _as_tight(given: Quota | None, asked: Quota | None) -> bool:
    # A quota of another period cannot be compared: only fewer exchanges in the same or a longer one are surely no more.
    if asked is None:
        return True
    if given is None or given.limit > asked.limit:
        return False
    return given.period_s in (0, asked.period_s) or 0 < asked.period_s <= given.period_s
