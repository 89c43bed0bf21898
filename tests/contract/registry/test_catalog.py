"""The register's use cases over a real database."""

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import AccordError, Reason
from services.formats.lease import Status, open_lease, parse_snapshot
from services.formats.register_entry import RegisterEvent
from services.registry import health, store
from services.registry.catalog import Move
from services.registry.domain import snapshot as snapshots
from services.registry.domain.service import Application, Service
from services.registry.domain.status import APPLIED, Standing, reference, reinstate, suspend
from services.registry.domain.wish import Wish
from tests.support.register import REGISTRAR, TRUST_DOMAIN, application, organization, service_message, signer
from tests.support.registers import Register, open_database

NAME = "services/service-1"
EVENTS = {
    "with": RegisterEvent.SERVICE_REFERENCED,
    "without": RegisterEvent.SERVICE_REFERENCED,
    "suspend": RegisterEvent.SERVICE_SUSPENDED,
    "reinstate": RegisterEvent.SERVICE_REINSTATED,
}
MOVES: dict[str, Callable[[Standing], Standing]] = {
    "with": partial(reference, with_exchange=True),
    "without": partial(reference, with_exchange=False),
    "suspend": suspend,
    "reinstate": reinstate,
}


async def created(register: Register, number: int = 1, asked: Application | None = None) -> Service:
    """Record an organisation and its service."""
    await register.organizations.create(organization(number), REGISTRAR)
    return await register.catalog.create_service(asked or application(number), REGISTRAR)


async def moved(register: Register, move: str, *, name: str = NAME, etag: str = "", why: str = "") -> Service:
    """Move a service as the registrar."""
    return await register.catalog.move(Wish(name, etag, why), Move(EVENTS[move], MOVES[move]), REGISTRAR)


async def sequence(register: Register) -> int:
    """The sequence that readers of the lease see."""
    return (await register.leases.current()).pin.sequence


async def test_each_change_of_a_service_advances_the_sequence_by_one_and_a_repeat_by_none(register: Register) -> None:
    asked = application()
    steps = [created(register, asked=asked), created(register, asked=asked)]
    steps += [moved(register, move) for move in ("with", "with", "without", "with", "suspend", "suspend", "reinstate")]
    seen = [await sequence(register)]
    for step in steps:
        await step
        seen.append(await sequence(register))
    assert seen == [1, 2, 2, 3, 3, 4, 5, 6, 6, 7]


async def test_an_organization_alone_is_no_change_of_the_snapshot(register: Register) -> None:
    first = await register.organizations.create(organization(), REGISTRAR)
    register.clock.ms += 1
    assert await register.organizations.create(organization(), REGISTRAR) == first
    assert await sequence(register) == 1


async def test_a_name_with_other_content_already_exists(register: Register) -> None:
    await created(register)
    with pytest.raises(AccordError) as raised:
        await register.catalog.create_service(application(), REGISTRAR)  # another key
    assert raised.value.reason is Reason.REQUEST_ID_REUSED
    with pytest.raises(AccordError) as raised:
        await register.organizations.create(
            type(organization())("organizations/org-1", organization(2).siren, "1.2.3", "Autre"), REGISTRAR
        )
    assert raised.value.reason is Reason.REQUEST_ID_REUSED


async def test_creating_a_service_again_after_it_moved_gives_it_as_it_stands(register: Register) -> None:
    asked = application()
    await created(register, asked=asked)
    suspended = [await moved(register, move) for move in ("with", "suspend")][-1]
    assert await register.catalog.create_service(asked, REGISTRAR) == suspended


async def test_an_oid_a_siren_and_a_key_have_one_holder_and_every_clash_is_named(register: Register) -> None:
    key = signer()
    await created(register, asked=application(1, key))
    clash = application(2, signer(), key, organization="organizations/none", oid=application(1).oid)
    with pytest.raises(AccordError) as raised:
        await register.catalog.create_service(clash, REGISTRAR)
    fields = [violation.field for violation in raised.value.violations]
    assert fields == ["service.organization", "service.oid", "service.signing_keys[1].jwk"]

    first = organization(1)
    with pytest.raises(AccordError) as raised:
        await register.organizations.create(
            type(first)("organizations/org-2", first.siren, first.oid, first.display_name), REGISTRAR
        )
    assert [violation.field for violation in raised.value.violations] == ["organization.siren", "organization.oid"]
    assert await sequence(register) == 2


async def test_a_move_with_another_etag_than_the_current_one_is_aborted(register: Register) -> None:
    first = await created(register)
    second = await moved(register, "with", etag=first.etag)
    for move in ("suspend", "with"):
        with pytest.raises(AccordError) as raised:
            await moved(register, move, etag=first.etag)
        assert raised.value.reason is Reason.ETAG_MISMATCH
    assert second.etag != first.etag
    assert (await moved(register, "suspend", etag=second.etag)).standing.status is Status.SUSPENDED


async def test_an_etag_never_comes_back_even_if_the_content_does(register: Register) -> None:
    await created(register)
    etags = [(await moved(register, move)).etag for move in ("with", "suspend", "reinstate", "suspend", "reinstate")]
    assert len(set(etags)) == len(etags)


async def test_an_unknown_service_is_not_found(register: Register) -> None:
    for call in (register.catalog.get(NAME), moved(register, "suspend")):
        with pytest.raises(AccordError) as raised:
            await call
        assert raised.value.reason is Reason.RESOURCE_NOT_FOUND


async def test_pages_hold_each_service_once_in_order_of_name(register: Register) -> None:
    for number in (3, 1, 2, 10):
        await created(register, number)
    names, after, more = [], "", True
    while more:
        services, more = await register.catalog.page(after, 3)
        names += [service.name for service in services]
        after = names[-1]
    assert names == [f"services/service-{number}" for number in (1, 10, 2, 3)]


async def test_a_caller_that_goes_away_keeps_no_committed_change_from_the_lease(register: Register) -> None:
    await created(register)
    await moved(register, "with")
    call = asyncio.create_task(moved(register, "suspend"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await register.commits.drain()
    assert b"SUSPENDED" in (await register.leases.current()).records[0]


async def test_a_commit_of_unknown_outcome_withdraws_the_lease_until_the_store_was_read(register: Register) -> None:
    """COMMIT happened, its confirmation was lost: what readers are given next is the store's word."""
    await created(register)
    await moved(register, "with")
    before = await register.leases.current()
    real = register.database.write

    def losing() -> object:
        raise_after = real()

        class Losing:
            def __enter__(self) -> object:
                return raise_after.__enter__()

            def __exit__(self, *error: object) -> None:
                raise_after.__exit__(*error)  # type: ignore[arg-type]
                raise AccordError(Reason.STORAGE_UNAVAILABLE)

        return Losing()

    register.database.write = losing  # type: ignore[method-assign,assignment]
    with pytest.raises(AccordError) as raised:
        await moved(register, "suspend")
    assert raised.value.reason is Reason.STORAGE_UNAVAILABLE
    current = await register.leases.current()
    assert current.pin.sequence == before.pin.sequence + 1
    assert b"SUSPENDED" in current.records[0]


async def test_a_register_whose_snapshot_readers_could_not_receive_takes_no_further_service(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    await created(register)
    monkeypatch.setattr(snapshots, "MAX_SNAPSHOT", 1000)
    with pytest.raises(AccordError) as raised:
        await created(register, 2)
    assert raised.value.reason is Reason.STATE_CONFLICT
    assert await sequence(register) == 2
    with pytest.raises(AccordError) as raised:
        await register.catalog.get("services/service-2")
    assert raised.value.reason is Reason.RESOURCE_NOT_FOUND


async def test_a_register_is_healthy_only_while_its_lease_is_of_the_stored_head(register: Register) -> None:
    await created(register)
    assert await health.problems(register.commits, register.leases) == ()
    other = open_database(register.url)
    with other.write() as connection:
        store.advance(connection, store.snapshot(connection))
    other.close()
    assert len(await health.problems(register.commits, register.leases)) == 1


Steps = st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from(sorted(MOVES))), max_size=25)


@settings(max_examples=15, deadline=None)
@given(Steps)
def test_after_any_history_the_lease_is_what_a_model_of_the_register_says(steps: list[tuple[int, str]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'registry.db'}"
        register = Register(open_database(url), url)
        model: dict[str, Standing] = {}
        for number in (1, 2, 3):
            model[(await created(register, number)).name] = APPLIED
        changes = len(model)
        for number, move in steps:
            name = f"services/service-{number}"
            expected, refusal = outcome(move, model[name])
            if refusal is not None:
                with pytest.raises(AccordError) as raised:
                    await moved(register, move, name=name)
                assert raised.value.reason is refusal
            else:
                assert (await moved(register, move, name=name)).standing == expected
                changes += expected != model[name]
                model[name] = expected
        issued = await register.leases.issue(0, 0)
        key = register.key.verify_key
        lease = open_lease(issued.token, TRUST_DOMAIN, {key.kid: key}.get)
        assert lease.pin.sequence == 1 + changes
        snapshot = parse_snapshot(lease, issued.records)
        assert {name: record.status for name, record in snapshot.items()} == {n: s.status for n, s in model.items()}
        register.executor.shutdown()
        register.database.close()


def outcome(move: str, standing: Standing) -> tuple[Standing, Reason | None]:
    """Where a move leads, or why it is refused."""
    try:
        return MOVES[move](standing), None
    except AccordError as refusal:
        return standing, refusal.reason


async def test_what_is_not_public_about_a_service_stays_out_of_its_record(register: Register) -> None:
    """The snapshot names no person: neither the notice's text, nor a justification, nor a registrar."""
    service = await created(register)
    await moved(register, "with")
    suspended = await moved(register, "suspend", why="Signalé par Mme Martin.")
    assert service_message().convention.notice.text.encode() not in suspended.record
    assert b"Martin" not in suspended.record
    assert b"registrar" not in service.record
