"""How an entry, the opening of what it commits to, and the key that opens it are found beside one another."""

from sqlalchemy import and_

from services.consent import tables

ENTRY, OPENING, DATA_KEY = tables.table(tables.Entry), tables.table(tables.Opening), tables.table(tables.DataKey)
OF_ENTRY = and_(OPENING.c.shard == ENTRY.c.shard, OPENING.c.epoch == ENTRY.c.epoch, OPENING.c.idx == ENTRY.c.idx)
"""The opening of an entry: each has one."""
OPENED_BY = and_(
    OPENING.c.shard == DATA_KEY.c.shard,
    OPENING.c.patient == DATA_KEY.c.patient,
    OPENING.c.year == DATA_KEY.c.year,
    OPENING.c.use == DATA_KEY.c.use,
)
"""The data key of an opening: none where it was destroyed."""
