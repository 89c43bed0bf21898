"""What consent and exchange believe of the registry, for how long, and what they never believe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace

import grpc
import pytest
from accord.registry.v1 import lease_service_pb2_grpc as pb_grpc
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.registry import POLL_S, RegistryView, Snapshot
from services.errors import AccordError, Reason
from services.formats.canonical import FormatError
from services.formats.entry import Pin
from services.formats.lease import MAX_AGE_S, Status, open_lease, parse_record, sign_lease, snapshot_hash
from services.formats.trust import DatedKey, KeyRole
from services.tlog.proof import verify_inclusion
from services.tlog.tree import leaf_hash
from tests.support.lease_service import LeaseSimulator
from tests.support.register import TRUST_DOMAIN, record, signer

LUMEN, ICOPE = record("lumen"), record("icope")


@dataclass
class TwoClocks:
    """A wall clock and a monotonic one that a test moves apart or together."""

    wall: int = 1_800_000_000_000
    steady: float = 1000.0

    def wall_ms(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_time(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += round(seconds * 1000)


@pytest.fixture
def clock() -> TwoClocks:
    return TwoClocks()


@pytest.fixture
async def registry(clock: TwoClocks) -> LeaseSimulator:
    made = LeaseSimulator(clock)
    made.change(LUMEN, ICOPE)
    return made


@pytest.fixture
async def channel(registry: LeaseSimulator) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    pb_grpc.add_LeaseServiceServicer_to_server(registry, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(0)


@pytest.fixture
def view(channel: grpc.aio.Channel, registry: LeaseSimulator, clock: TwoClocks) -> RegistryView:
    return RegistryView(lambda: channel, registry.trust(), clock, backoff_s=(0.01, 0.02))


def stale(view: RegistryView) -> bool:
    """Whether the view refuses, as it must, with REGISTRY_STALE and a moment to retry."""
    if view.fresh():
        view.current()
        return False
    with pytest.raises(AccordError) as raised:
        view.current()
    assert raised.value.reason is Reason.REGISTRY_STALE
    assert raised.value.retry_after == 1
    return True


async def test_before_the_first_lease_there_is_nothing_to_go_by(view: RegistryView) -> None:
    assert stale(view)


async def test_a_snapshot_shows_every_service_by_name_and_by_transport_identity(view: RegistryView) -> None:
    await view.poll()
    snapshot = view.current()
    assert dict(snapshot.services) == {"services/icope": ICOPE, "services/lumen": LUMEN}
    assert snapshot.by_spiffe["spiffe://mes.example/service/lumen"] == LUMEN
    assert snapshot.records == (ICOPE.to_bytes(), LUMEN.to_bytes())
    assert snapshot.pin == Pin(2, snapshot_hash(snapshot.records))


async def test_the_empty_register_is_known_to_be_empty(view: RegistryView, registry: LeaseSimulator) -> None:
    registry.change()
    await view.poll()
    assert view.current().services == {}


async def test_a_suspension_is_seen_with_the_next_lease(view: RegistryView, registry: LeaseSimulator) -> None:
    await view.poll()
    registry.change(replace(LUMEN, status=Status.SUSPENDED), ICOPE)
    await view.poll()
    assert view.current().services["services/lumen"].status is Status.SUSPENDED


async def test_at_its_maximum_age_a_lease_is_stale_and_the_next_one_ends_that(
    view: RegistryView, clock: TwoClocks
) -> None:
    await view.poll()
    clock.pass_time(MAX_AGE_S - 0.001)
    assert not stale(view)
    clock.pass_time(0.001)
    assert stale(view)
    await view.poll()
    assert not stale(view)


async def test_age_counts_from_before_the_request(
    view: RegistryView, registry: LeaseSimulator, clock: TwoClocks
) -> None:
    await view.poll()
    registry.holds = True
    poll = asyncio.create_task(view.poll())
    await registry.until(lambda asked: len(asked) == 2)
    clock.pass_time(20)
    registry.change(LUMEN)
    await poll
    assert list(view.current().services) == ["services/lumen"]
    clock.pass_time(MAX_AGE_S - 20)
    assert stale(view)


async def test_age_is_no_matter_of_the_wall_clock(view: RegistryView, clock: TwoClocks) -> None:
    await view.poll()
    clock.wall -= 3_600_000
    clock.steady += MAX_AGE_S
    assert stale(view)


async def test_while_the_registry_fails_the_old_snapshot_serves_until_its_maximum_age(
    view: RegistryView, registry: LeaseSimulator, clock: TwoClocks
) -> None:
    await view.poll()
    registry.failure = grpc.StatusCode.UNAVAILABLE
    clock.pass_time(MAX_AGE_S - 1)
    with pytest.raises(grpc.aio.AioRpcError):
        await view.poll()
    assert not stale(view)
    clock.pass_time(1)
    assert stale(view)


async def test_a_known_snapshot_is_not_asked_for_again_but_its_lease_is(
    view: RegistryView, registry: LeaseSimulator, clock: TwoClocks
) -> None:
    await view.poll()
    first = view.current()
    clock.pass_time(10)
    await view.poll()
    second = view.current()
    assert [(asked.known_sequence, asked.wait_seconds) for asked in registry.asked] == [(0, 0), (2, POLL_S)]
    assert second.services is first.services
    assert second.lease.issued_s == first.lease.issued_s + 10


FORGERIES: dict[str, dict[str, object]] = {
    "another_key": {"key": signer()},
    "another_trust_domain": {"trust_domain": "other.example"},
    "another_hash": {"snapshot": "0" * 64},
    "another_size": {"size": 3},
    "no_lease": {"token": "e30.e30.AAAA"},
    "not_a_token": {"token": "lease"},
    "a_record_less": {"records": [LUMEN.to_bytes()], "size": 2},
    "records_out_of_order": {"records": [LUMEN.to_bytes(), ICOPE.to_bytes()]},
    "a_service_twice": {"records": [LUMEN.to_bytes(), LUMEN.to_bytes()]},
    "a_record_that_is_none": {"records": [b"{}"]},
    "one_identity_for_two_services": {
        "records": [ICOPE.to_bytes(), replace(LUMEN, spiffe_id=ICOPE.spiffe_id).to_bytes()]
    },
    "issued_long_ago": {"issued_ms": TwoClocks().wall - 1000 * (MAX_AGE_S + 1)},
    "issued_far_ahead": {"issued_ms": TwoClocks().wall + 1000 * (MAX_AGE_S + 1)},
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("first", [True, False])
async def test_a_forged_lease_or_record_is_refused_and_changes_nothing(
    view: RegistryView, registry: LeaseSimulator, forgery: str, first: bool
) -> None:
    if not first:
        await view.poll()
        registry.change(LUMEN, ICOPE)
    before = None if first else view.current()
    for name, value in FORGERIES[forgery].items():
        setattr(registry, name, value)
    with pytest.raises(FormatError):
        await view.poll()
    assert stale(view) if first else view.current() is before


async def test_records_changed_on_the_way_are_refused(view: RegistryView, registry: LeaseSimulator) -> None:
    registry.token = registry.lease()
    registry.records = [ICOPE.to_bytes(), replace(LUMEN, status=Status.APPLIED).to_bytes()]
    with pytest.raises(FormatError):
        await view.poll()
    assert stale(view)


async def test_a_snapshot_older_than_one_seen_is_refused(view: RegistryView, registry: LeaseSimulator) -> None:
    """A database restored to before a suspension: the service must not come back to life."""
    await view.poll()
    old = (registry.sequence, registry.records)
    registry.change(replace(LUMEN, status=Status.SUSPENDED), ICOPE)
    await view.poll()
    registry.sequence, registry.records = old
    with pytest.raises(FormatError, match="older"):
        await view.poll()
    assert view.current().services["services/lumen"].status is Status.SUSPENDED


async def test_a_second_snapshot_under_one_sequence_is_refused(view: RegistryView, registry: LeaseSimulator) -> None:
    await view.poll()
    registry.records = [LUMEN.to_bytes()]
    registry.always_records = True
    with pytest.raises(FormatError, match="two snapshots"):
        await view.poll()
    assert len(view.current().services) == 2


async def test_a_floor_from_an_earlier_life_counts_as_seen(
    channel: grpc.aio.Channel, registry: LeaseSimulator, clock: TwoClocks
) -> None:
    pin = Pin(2, snapshot_hash(registry.records))
    await RegistryView(lambda: channel, registry.trust(), clock, floor=pin).poll()
    for floor in (Pin(3, pin.hash), Pin(2, "0" * 64)):
        view = RegistryView(lambda: channel, registry.trust(), clock, floor=floor)
        with pytest.raises(FormatError):
            await view.poll()
        assert stale(view)


async def test_a_replayed_lease_does_not_outlive_its_age(
    view: RegistryView, registry: LeaseSimulator, clock: TwoClocks
) -> None:
    """Who holds the registry's certificate, but not its lease key, cannot hide a suspension for long."""
    await view.poll()
    registry.token = registry.lease()
    clock.pass_time(MAX_AGE_S + 1)
    with pytest.raises(FormatError, match="replay"):
        await view.poll()
    assert stale(view)


@pytest.mark.parametrize("role", [KeyRole.PERMIT, KeyRole.BROKER])
async def test_a_key_of_another_role_signs_no_lease(
    channel: grpc.aio.Channel, registry: LeaseSimulator, clock: TwoClocks, role: KeyRole
) -> None:
    trust = replace(registry.trust(), keys=(DatedKey(role, registry.key.verify_key, 0),))
    with pytest.raises(FormatError):
        await RegistryView(lambda: channel, trust, clock).poll()


async def test_a_lease_key_past_its_end_signs_no_lease(
    channel: grpc.aio.Channel, registry: LeaseSimulator, clock: TwoClocks
) -> None:
    trust = replace(registry.trust(), keys=(DatedKey(KeyRole.LEASE, registry.key.verify_key, 0, clock.wall),))
    with pytest.raises(FormatError):
        await RegistryView(lambda: channel, trust, clock).poll()


async def test_following_survives_failures_and_forgeries_and_takes_the_next_true_lease(
    view: RegistryView, registry: LeaseSimulator
) -> None:
    true_key, registry.holds = registry.key, True
    registry.failure = grpc.StatusCode.UNAVAILABLE
    following = asyncio.create_task(view.follow())
    await registry.until(lambda asked: len(asked) >= 3)
    registry.failure, registry.key = None, signer()
    await registry.until(lambda asked: len(asked) >= 6)
    assert stale(view)
    registry.key = true_key
    await view.wait_ready(30)
    assert view.current().pin.sequence == 2
    registry.change(LUMEN)
    await registry.until(lambda asked: asked[-1].known_sequence == 3)
    assert list(view.current().services) == ["services/lumen"]
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_waiting_for_a_registry_that_never_answers_ends_as_stale(view: RegistryView) -> None:
    with pytest.raises(AccordError) as raised:
        await view.wait_ready(0.01)
    assert raised.value.reason is Reason.REGISTRY_STALE


@given(st.integers(1, 40))
def test_each_record_is_proven_against_the_lease_alone(count: int) -> None:
    key = signer()
    records = tuple(record(f"service-{number:02d}").to_bytes() for number in range(count))
    token = sign_lease(key, TRUST_DOMAIN, Pin(9, snapshot_hash(records)), count, 0)
    lease = open_lease(token, TRUST_DOMAIN, {key.verify_key.kid: key.verify_key}.get)
    snapshot = Snapshot.of(lease, records)
    for name in snapshot.services:
        index, raw, hashes = snapshot.record_proof(name)
        verify_inclusion(leaf_hash(raw), index, lease.size, hashes, bytes.fromhex(lease.pin.hash))
        assert parse_record(raw).name == name
    with pytest.raises(KeyError):
        snapshot.record_proof("services/none")


async def test_each_request_takes_the_channel_that_is_current_then_so_that_a_renewed_certificate_is_used(
    registry: LeaseSimulator, channel: grpc.aio.Channel, clock: TwoClocks
) -> None:
    dead = grpc.aio.insecure_channel("127.0.0.1:1")
    channels = [dead, channel]
    view = RegistryView(lambda: channels.pop(0), registry.trust(), clock)
    with pytest.raises(grpc.aio.AioRpcError):
        await view.poll()
    await view.poll()
    assert view.fresh()
    await dead.close()


async def test_following_survives_whatever_breaks(
    registry: LeaseSimulator, channel: grpc.aio.Channel, clock: TwoClocks, caplog: pytest.LogCaptureFixture
) -> None:
    broken: list[Exception] = [OSError("no file"), AccordError(Reason.STORAGE_UNAVAILABLE), KeyError("another")]

    def channel_now() -> grpc.aio.Channel:
        if broken:
            raise broken.pop()
        return channel

    view = RegistryView(channel_now, registry.trust(), clock, backoff_s=(0.01, 0.02))
    following = asyncio.create_task(view.follow())
    await view.wait_ready(10)
    assert (broken, view.fresh()) == ([], True)
    assert [bool(line.exc_info) for line in caplog.records] == [True, False, True]
    following.cancel()
