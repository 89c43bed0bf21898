"""Promise 2 by the log alone: whoever doctors a log is caught by the rule, and a withdrawal that was answered is in it.

The storms that try to break the promise are in `tests/races`.
"""

from dataclasses import replace
from pathlib import Path

from services.consent.domain.lifecycle import ConsentState
from services.ctl.logbook import forwards_after_revoke
from services.errors import Reason
from services.formats.entry import Entry, EntryType
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, query


async def story(bench: Bench) -> tuple[Entry, ...]:
    """A log of two consents, an authorisation, a withdrawal, a denial, and an authorisation on a consent given anew."""
    address = await bench.patient()
    consent = await bench.grant(address, SENDER)
    await bench.grant(address, RECIPIENT)
    await bench.authorize(query(address))
    await bench.revoke(consent)
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_REVOKED
    await bench.grant(address, SENDER)
    assert (await bench.authorize(query(address))).permit is not None
    return bench.entries()


async def test_a_doctored_log_is_caught(tmp_path: Path) -> None:
    bench = build(tmp_path)
    entries = await story(bench)
    await bench.close()
    kinds = [entry.type for entry in entries]
    authorized, revoked = kinds.index(EntryType.EXCHANGE_AUTHORIZED), kinds.index(EntryType.CONSENT_REVOKED)
    denied = kinds.index(EntryType.EXCHANGE_DENIED)
    assert forwards_after_revoke(entries) == []
    repeated = (*entries, entries[authorized])
    assert forwards_after_revoke(repeated) == [len(entries)]
    swapped = list(entries)
    swapped[authorized], swapped[revoked] = swapped[revoked], swapped[authorized]
    assert forwards_after_revoke(tuple(swapped)) == [revoked]
    turned = list(entries)
    turned[denied] = replace(turned[denied], type=EntryType.EXCHANGE_AUTHORIZED)
    assert forwards_after_revoke(tuple(turned)) == [denied]
    first = entries[authorized]
    lone = replace(first, resources=first.resources[:1])
    sold = replace(first, counterparty="services/other")
    borrowed = replace(first, subject="0" * 64)
    for place, forged in ((authorized, lone), (authorized, sold), (authorized, borrowed)):
        assert forwards_after_revoke((*entries[:place], forged, *entries[place + 1 :])) == [place]
    either = replace(entries[authorized], resources=entries[authorized].resources[::-1])
    assert forwards_after_revoke((*entries, either)) == [len(entries)]


async def test_a_caller_hears_the_refusal_only_once_it_is_durable(tmp_path: Path) -> None:
    """Another connection sees the withdrawal as soon as its caller does."""
    first = build(tmp_path)
    second = build(tmp_path, clock=first.clock, view=first.view)
    address = await first.consenting()
    for number in range(20):
        consent = await first.grant(address, SENDER)
        await first.revoke(consent)
        found = second.find_consent(0, consent.consent)
        assert found is not None
        assert (found.state, found.revision) == (ConsentState.REVOKED, 2), number
    for bench in (second, first):
        await bench.close()
