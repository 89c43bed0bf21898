"""The portal's assertions in log order, by person or by key: a page at a time, from where the last one ended."""

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, select, tuple_

from services.consent import tables
from services.consent.domain.asserted import Asserted, AssertionFilter, Place
from services.consent.store.consents import ASSERTION

HEAD = tables.table(tables.Head)
_SHARD: BindParameter[int] = bindparam("shard")
_PLACE = (ASSERTION.c.time_ms, ASSERTION.c.epoch, ASSERTION.c.idx)
_AFTER = tuple_(bindparam("after_ms"), bindparam("after_epoch"), bindparam("after_idx"))
# `from_ms` says no more than the tuple does, but it is what an index of (person or key, time) can begin at.
_PAGE = (
    select(ASSERTION, HEAD.c.origin)
    .join(HEAD, and_(HEAD.c.shard == ASSERTION.c.shard, HEAD.c.epoch == ASSERTION.c.epoch))
    .where(
        ASSERTION.c.shard == _SHARD,
        ASSERTION.c.time_ms >= bindparam("from_ms"),
        ASSERTION.c.time_ms < bindparam("until_ms"),
        tuple_(*_PLACE) > _AFTER,
    )
    .order_by(*_PLACE)
    .limit(bindparam("limit"))
)
_OF_PERSON, _UNDER_KEY = ASSERTION.c.person == bindparam("person"), ASSERTION.c.kid == bindparam("kid")
_PAGES: dict[tuple[bool, bool], Select[tuple[object, ...]]] = {
    (True, False): _PAGE.where(_OF_PERSON),
    (False, True): _PAGE.where(_UNDER_KEY),
    (True, True): _PAGE.where(_OF_PERSON, _UNDER_KEY),
}


def page(
    connection: Connection, shard: int, wanted: AssertionFilter, after: Place | None, limit: int
) -> list[Asserted]:
    """The first `limit` assertions of a shard after a place. Raises: KeyError for a filter of neither person nor key."""
    place = after or Place(wanted.from_ms, 0, -1)
    key = {"shard": shard, "from_ms": place.time_ms, "until_ms": wanted.until_ms, "limit": limit}
    key |= {"after_ms": place.time_ms, "after_epoch": place.epoch, "after_idx": place.index}
    by = {name: value for name, value in (("person", wanted.person), ("kid", wanted.kid)) if value}
    rows = connection.execute(_PAGES["person" in by, "kid" in by], key | by)
    return [
        Asserted(row.shard, row.origin, Place(row.time_ms, row.epoch, row.idx), row.consent, row.kid) for row in rows
    ]
