"""Which handler runs which command under the lock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.consent.consents import ConsentHandlers
from services.consent.domain import commands as c
from services.consent.domain.identifiers import Identifiers
from services.consent.erasure import ErasureHandlers
from services.consent.exchanges import ExchangeHandlers
from services.consent.locked import NOBODY, Locked, draft
from services.consent.moves import ProfileMoves
from services.consent.profiles import ProfileHandlers, require_profile
from services.consent.requests import RequestHandlers
from services.consent.retractions import RetractionHandlers
from services.consent.revisions import Revisions
from services.consent.sweeps import SweepHandlers
from services.consent.vault import Vault
from services.errors import AccordError
from services.formats.entry import EntryType

Handler = Callable[[Locked, Sequence[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class Handlers:
    """Those who work under the lock."""

    profiles: ProfileHandlers
    moves: ProfileMoves
    consents: ConsentHandlers
    requests: RequestHandlers
    exchanges: ExchangeHandlers
    sweeps: SweepHandlers
    erasure: ErasureHandlers
    retractions: RetractionHandlers

    def by_command(self) -> dict[type[c.Command[Any]], Handler]:
        """The handler of each command; one that raises an AccordError has written nothing for its item."""
        return {
            c.OpenProfile: _each(self.profiles.open_profile),
            c.MoveProfile: _each(self.moves.move),
            c.ClaimAlias: _each(self.profiles.claim_alias),
            c.AddIdentity: _each(self.profiles.add_identity),
            c.Represent: _each(self.profiles.represent),
            c.Pair: _each(self.profiles.pair),
            c.Grant: _each(self.consents.grant),
            c.Amend: _each(self.consents.amend),
            c.MoveConsent: _each(self.consents.move),
            c.RecordNotice: _each(self.consents.record_notice),
            c.AcknowledgeRevocation: _each(self.consents.acknowledge),
            c.RequestConsent: _each(self.requests.request),
            c.DecideRequest: _each(self.requests.decide),
            c.Authorize: self.exchanges.authorize,
            c.RecordOutcome: _each(self.exchanges.record_outcome),
            c.RecordRefusal: _each(self.exchanges.record_refusal),
            c.Sweep: _each(self.exchanges.sweep),
            c.SweepConsents: _each(self.sweeps.sweep),
            c.RecordRead: _each(_record_read),
            c.Erase: _each(self.erasure.erase),
            c.DropAliases: _each(self.erasure.drop_aliases),
            c.Retain: _each(self.erasure.retain),
            c.RevokeAsserted: _each(self.retractions.retract),
        }


def build_handlers(
    vault: Vault,
    identifiers: Identifiers,
    random_bits: Callable[[int], int],
    *,
    shards: int = 1,
    erasure_delay_ms: int = 0,
) -> Handlers:
    """The handlers, wired; `random_bits(n)` makes local ids and codes."""
    revisions = Revisions(vault, identifiers)
    return Handlers(
        ProfileHandlers(vault, random_bits),
        ProfileMoves(vault, revisions),
        ConsentHandlers(vault, revisions, random_bits),
        RequestHandlers(shards, random_bits),
        ExchangeHandlers(vault, identifiers),
        SweepHandlers(revisions),
        ErasureHandlers(erasure_delay_ms),
        RetractionHandlers(revisions),
    )


def _record_read(locked: Locked, item: c.RecordRead) -> c.Appended:
    body, patient = {"method": item.method, "asked": item.asked}, NOBODY
    if item.patient is not None:
        patient = require_profile(locked, item.patient).address.patient
    return locked.append(draft(EntryType.AUDIT_READ, item.actor, body, patient))


def _each(handle: Callable[[Locked, Any], Any]) -> Handler:
    def attempt(locked: Locked, item: Any) -> Any:
        try:
            return handle(locked, item)
        except AccordError as error:
            return error

    return lambda locked, items: [attempt(locked, item) for item in items]
