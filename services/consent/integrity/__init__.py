"""Full verification of a ledger's database: every log of every epoch, everything it commits to, everything derived from it.

Guarantees that each finding names its place, that none ends the search, and that memory does not grow with the log: rows
are read a page at a time, from one snapshot for each shard, so a running service may go on. What no entry speaks of is
listed in `UNVERIFIED`, with the reason; every other column of every table is held against the log, or what the log proves.
Leaves to the witnesses that the log is whole: a database restored together with its signed heads agrees with itself.

Reading order: `report` · `case` · `tree`, `entries` (the log) · `exchanges`, `revisions`, `assertions`, `quotas`,
`profiles`, `identities`, `requests`, `records`, `traces` (what is derived) · `unverified`.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, or_, select

from services.chassis.db import Database
from services.consent import tables
from services.consent.integrity.assertions import Assertions
from services.consent.integrity.case import Case, Log, Tally, row_of
from services.consent.integrity.case import Secrets as Secrets
from services.consent.integrity.entries import Entries, Page
from services.consent.integrity.exchanges import Exchanges
from services.consent.integrity.identities import Identities
from services.consent.integrity.profiles import Profiles
from services.consent.integrity.quotas import Quotas
from services.consent.integrity.records import Records
from services.consent.integrity.report import Checked, Findings
from services.consent.integrity.report import Finding as Finding
from services.consent.integrity.report import Progress as Progress
from services.consent.integrity.report import Report as Report
from services.consent.integrity.requests import Requests
from services.consent.integrity.revisions import Consents
from services.consent.integrity.traces import Traces
from services.consent.integrity.tree import HEADS, check_head, check_nodes
from services.consent.integrity.unverified import UNVERIFIED as UNVERIFIED
from services.consent.shard import RECOVERING
from services.formats.trust import Trust

LISTED = 100
OnProgress = Callable[[Progress], None]
_FOLLOWERS = (Profiles, Consents, Assertions, Quotas, Exchanges, Requests, Records, Traces)
"""In this order: who was erased is known first, and which consent has which name before what was counted."""


class _Follower(Protocol):
    table: str

    def follow(self, page: Page) -> None: ...
    def close(self, log: Log) -> None: ...
    def finish(self) -> None: ...


def check(
    database: Database,
    trust: Trust,
    secrets: Secrets | None,
    on_progress: OnProgress = lambda _: None,
    *,
    limit: int = LISTED,
    recovering: bool = False,
) -> Report:
    """Verifies everything; without `secrets` nothing is opened, which the report's notes say.

    Lists at most `limit` findings. `recovering`: logs whose recovery has not ended are no finding. Raises: AccordError
    STORAGE_UNAVAILABLE when the database is away.
    """
    findings, tally = Findings(limit), Tally()
    if secrets is None:
        findings.note("nothing was opened: what entries commit to, identities, keys and names were not verified")
    with database.read() as connection:
        heads = connection.execute(HEADS).all()
        shards = _shards(trust) or max([row.shard + 1 for row in heads], default=0)
        _check_heads(connection, heads, shards, trust, findings)
    checked: list[Checked] = []
    for shard in sorted({row.shard for row in heads} & set(range(shards))):
        with database.read() as connection, _scratch() as scratch:
            case = Case(connection, shard, shards, trust.trust_domain, secrets, findings, tally, scratch)
            checked += _check_shard(case, trust, on_progress, recovering=recovering)
    counts = (tally.opened, tally.closed, tally.covered)
    return Report(tuple(checked), tuple(findings.listed), findings.found, *counts, tuple(findings.notes))


def _shards(trust: Trust) -> int:
    """How many shards TRUST speaks of."""
    numbers = (log.name.rpartition("/")[2] for log in trust.logs)
    return max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)


def _check_heads(connection: Connection, heads: Any, shards: int, trust: Trust, findings: Findings) -> None:
    """Logs that are not there, and rows of shards that there are not."""
    origins = {row.origin.removeprefix(RECOVERING) for row in heads}
    for log in trust.logs:
        if log.name not in origins:
            number = log.name.rpartition("/")[2]
            shard = int(number) if number.isdecimal() else -1
            findings.add("head", shard, "TRUST lists a log that is not there", row=log.name)
    for missing in set(range(shards)) - {row.shard for row in heads}:
        findings.add("head", missing, "missing")
    for table in tables.metadata.sorted_tables:
        outside = or_(table.c.shard < 0, table.c.shard >= shards)
        for row in connection.execute(select(*table.primary_key.columns).where(outside).limit(findings.limit)):
            key = {name: value for name, value in row._asdict().items() if name != "shard"}
            findings.add(table.name, row.shard, "of a shard that there is not", row=row_of(**key))


def _check_shard(case: Case, trust: Trust, on_progress: OnProgress, *, recovering: bool) -> Iterator[Checked]:
    before = (case.tally.closed, case.tally.covered)
    followers: list[_Follower] = [follower(case) for follower in _FOLLOWERS]
    entries, epochs = Entries(case), []
    for head in case.connection.execute(HEADS.where(tables.table(tables.Head).c.shard == case.shard)).all():
        log = Log(case.origin(head.epoch), case.shard, head.epoch, max(head.size, 0))
        epochs.append(head.epoch)
        check_head(case, head, trust, recovering=recovering)
        with case.findings.guard("node", case.shard, epoch=log.epoch):
            check_nodes(case, log)
        _follow(case, entries.pages(head, log), log, followers, on_progress)
        yield Checked(log.origin, log.shard, log.epoch, log.size)
    _check_epochs(case, epochs)
    for follower in followers:
        with case.findings.guard(follower.table, case.shard):
            follower.finish()
    with case.findings.guard("identity", case.shard):
        Identities(case).check()
    if case.tally.closed - before[0] != case.tally.covered - before[1]:
        closed, covered = case.tally.closed - before[0], case.tally.covered - before[1]
        case.findings.add("opening", case.shard, f"{closed} keys are gone, tombstones account for {covered}")


def _follow(case: Case, pages: Iterator[Page], log: Log, followers: list[_Follower], on_progress: OnProgress) -> None:
    with case.findings.guard("entry", case.shard, epoch=log.epoch):
        for page in pages:
            for follower in followers:
                with case.findings.guard(follower.table, case.shard, epoch=log.epoch):
                    follower.follow(page)
            on_progress(Progress(log.origin, page.end, log.size))
    for follower in followers:
        with case.findings.guard(follower.table, case.shard, epoch=log.epoch):
            follower.close(log)


def _check_epochs(case: Case, epochs: list[int]) -> None:
    """Rows of logs that there are not."""
    if epochs != list(range(epochs[0], epochs[0] + len(epochs))):
        case.findings.add("head", case.shard, "an epoch between two others is missing")
    for table in tables.metadata.sorted_tables:
        if "epoch" in table.c and table.name != "head":
            outside = or_(table.c.epoch < epochs[0], table.c.epoch > epochs[-1])
            statement = select(*table.primary_key.columns).where(table.c.shard == case.shard, outside)
            for row in case.rows(statement, *table.primary_key.columns):
                key = {name: value for name, value in row._asdict().items() if name != "shard"}
                case.keyed(table, "of a log that there is not", **key)


@contextmanager
def _scratch() -> Iterator[sqlite3.Connection]:
    """A database in a temporary file without a name: gone with its connection, whatever happens."""
    with closing(sqlite3.connect("", isolation_level=None)) as scratch:
        scratch.execute("PRAGMA journal_mode = OFF")
        yield scratch
