"""From a query to the facts that answer it: which sides an exchange has, and in which direction each of them goes."""

from collections.abc import Callable

from services.consent.domain.facts import Facts, Party
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.values import Query
from services.formats.rights import Direction

PartyOf = Callable[[str, Direction], Party]
"""A service's side of an exchange, in this direction."""


def facts_of(
    query: Query, profile: ProfileStatus | None, party_of: PartyOf, documents_match: tuple[bool, ...] = ()
) -> Facts:
    """The facts of a query: who asks, in the direction asked, and then a counterparty, in the other one."""
    other = Direction.READ if query.direction is Direction.DEPOSIT else Direction.DEPOSIT
    parties = (party_of(query.service, query.direction),)
    return Facts(
        profile=profile,
        parties=(*parties, party_of(query.counterparty, other)) if query.counterparty else parties,
        purpose=query.purpose,
        categories=query.categories,
        documents_match=documents_match,
        labels=query.labels,
        data_from_ms=query.data_from_ms,
        data_until_ms=query.data_until_ms,
        basis=query.basis,
    )
