"""What a representative reads of accesses is, byte for byte, what they would read had the minor kept nothing from them.

Each drawn history is lived three times: as it is; without its secret consents; and without those and without the exchanges
that the representative was not shown. The third must be read as the first was, pages, tokens and exports alike; the second
says, without any rule about secrets, what must not have been withheld.
"""

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader
from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.consent.convert.form import timestamp
from services.consent.domain.terms import Effect, Limits
from services.errors import Reason
from services.formats.rights import Direction, Scope
from tests.support.accesses import Desk, minor
from tests.support.ledgers import EVERYTHING, NOW_MS, RECIPIENT, SENDER, build, query

REPRESENTATIVE = consent_pb2.ACTOR_ROLE_REPRESENTATIVE
SERVICES = st.sampled_from([SENDER, RECIPIENT])
CATEGORIES = st.frozensets(st.sampled_from(["class:10", "class:11", "class:42"]), min_size=1)
LABELS = st.frozensets(st.sampled_from(["N", "INVISIBLE_REPRESENTANTS_LEGAUX", "INVISIBLE_PATIENT"]), max_size=1)


@dataclass(frozen=True)
class Grant:
    """A consent, or a refusal, that is secret or not."""

    service: str
    categories: frozenset[str]
    directions: frozenset[Direction]
    secret: bool
    effect: Effect


@dataclass(frozen=True)
class Revoke:
    """The withdrawal of an earlier consent, if there is one."""

    which: int


@dataclass(frozen=True)
class Attempt:
    """An exchange that is decided."""

    sender: str
    categories: frozenset[str]
    labels: frozenset[str]


@dataclass(frozen=True)
class Refusal:
    """A bundle refused before any decision."""

    service: str


@dataclass(frozen=True)
class Pause:
    """Time that passes, in milliseconds."""

    ms: int


ANY_SCOPE = (CATEGORIES, st.frozensets(st.sampled_from(Direction), min_size=1))
GRANTS = st.builds(
    Grant, SERVICES, *ANY_SCOPE, st.booleans(), st.sampled_from([Effect.PERMIT, Effect.PERMIT, Effect.DENY])
)
OPEN_GRANTS = [
    Grant(name, EVERYTHING.categories, EVERYTHING.directions, False, Effect.PERMIT) for name in (SENDER, RECIPIENT)
]
ATTEMPTS = st.builds(Attempt, SERVICES, CATEGORIES, LABELS)
STEPS = st.builds(
    lambda first, rest: [*first, *rest],
    st.sampled_from([OPEN_GRANTS, OPEN_GRANTS, OPEN_GRANTS[:1], []]),
    st.lists(
        GRANTS
        | st.builds(Revoke, st.integers(0, 5))
        | ATTEMPTS
        | ATTEMPTS
        | st.builds(Refusal, SERVICES)
        | st.builds(Pause, st.sampled_from([0, 1, 1000])),
        min_size=4,
        max_size=16,
    ),
)


@dataclass
class Lived:
    """What came of a history: what the log says of each exchange, and everything a representative reads."""

    recorded: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    read: list[bytes] = field(default_factory=list)


@dataclass
class Draws:
    """Random numbers that depend on the step that draws them, not on what was drawn before."""

    step: str = ""
    count: int = 0

    def begin(self, step: int | str) -> None:
        self.step, self.count = str(step), 0

    def __call__(self, bits: int) -> int:
        self.count += 1
        digest = hashlib.sha256(f"{self.step}|{self.count}".encode()).digest()
        return int.from_bytes(digest) >> (256 - bits)


def exchange_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


async def live(steps: list[Any], *, secrets: bool = True, only: frozenset[str] | None = None) -> Lived:
    """Lives a history on a ledger of its own."""
    draws = Draws("start")
    with tempfile.TemporaryDirectory() as folder, patch("secrets.randbits", draws):
        desk = Desk(build(Path(folder)))
        try:
            return await _live(desk, draws, steps, secrets, only)
        finally:
            await desk.close()
            await desk.bench.close()


async def _live(desk: Desk, draws: Draws, steps: list[Any], secrets: bool, only: frozenset[str] | None) -> Lived:
    bench, lived = desk.bench, Lived()
    patient = await minor(bench)
    given: list[Any] = []
    for number, step in enumerate(steps):
        draws.begin(number)
        exchange = exchange_of(number)
        match step:
            case Grant():
                scope = Scope(step.categories, step.directions, EVERYTHING.purposes)
                limits = Limits(effect=step.effect, secret=step.secret)
                left_out = step.secret and not secrets
                given.append(None if left_out else await bench.grant(patient, step.service, scope, limits=limits))
            case Revoke() if given and given[step.which % len(given)] is not None:
                await bench.revoke(given[step.which % len(given)])
            case Attempt() if only is None or exchange in only:
                other = RECIPIENT if step.sender == SENDER else SENDER
                asked = query(patient, service=step.sender, counterparty=other, categories=step.categories)
                await desk.authorize(_labelled(asked, step.labels), exchange)
            case Refusal() if only is None or exchange in only:
                await desk.refuse(step.service, patient, Reason.DOCUMENT_MALFORMED, exchange)
            case Pause():
                bench.clock.now_ms += step.ms
    lived.recorded = {
        item.exchange: (item.type, item.reason, item.resources) for item in bench.entries() if item.exchange
    }
    await _read(desk, patient, lived)
    return lived


def _labelled(asked: Any, labels: frozenset[str]) -> Any:
    return type(asked)(**{name: getattr(asked, name) for name in asked.__slots__} | {"labels": labels})


async def _read(desk: Desk, patient: Any, lived: Lived) -> None:
    for size in (1, 2, 100):
        pages = await desk.pages(patient, viewer=REPRESENTATIVE, page_size=size)
        lived.read += [page.SerializeToString(deterministic=True) for page in pages]
    lived.seen = [access.exchange for page in pages for access in page.accesses]
    period = {"start_time": timestamp(NOW_MS), "end_time": timestamp(desk.bench.clock.now_ms + 1)}
    lived.read.append(await desk.export(patient, viewer=REPRESENTATIVE))
    lived.read.append(await desk.export(patient, reader.FHIR_KIND_AUDIT_EVENT, viewer=REPRESENTATIVE, **period))


@given(STEPS)
@settings(max_examples=20)
async def test_a_representative_reads_what_they_would_read_without_any_secret(steps: list[Any]) -> None:
    told, open_world = await live(steps), await live(steps, secrets=False)
    assert told.seen == [
        exchange for exchange in open_world.seen if told.recorded[exchange] == open_world.recorded[exchange]
    ]
    bare = await live(steps, secrets=False, only=frozenset(told.seen))
    assert bare.read == told.read
    event(f"{len(told.seen)} shown of {len(told.recorded)}")
