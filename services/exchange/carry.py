"""From documents that are as declared to bytes at the recipient: the ledger decides, the broker countersigns and sends.

Guarantees that nothing is sent without a permit which was checked here, on a ledger that the witness believes, and only
through a gate opened for this exchange. However sending ends is a value. Leaves recording that to `settle`.
"""

from asyncio import Event
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from services.chassis.channels import Channels
from services.chassis.clock import Clock
from services.chassis.identity import parse_spiffe_id
from services.chassis.registry import RegistryView
from services.chassis.witness import Witness
from services.errors import AccordError, Reason
from services.exchange.clients import Ledger
from services.exchange.deliver import Parcel, deliver
from services.exchange.domain.bundle import Checked, categories, labels
from services.exchange.domain.cover import Cover
from services.exchange.domain.exchange import Authorization, Case, Denied, Query, Sent
from services.exchange.domain.permit import check_permit
from services.exchange.domain.settlement import acknowledges
from services.exchange.gate import Gate
from services.exchange.spool import SpooledBundle
from services.formats.canonical import FormatError
from services.formats.entry import OutcomeResult, sha256_hex
from services.formats.jwk import Signer
from services.formats.lease import ServiceRecord
from services.formats.manifest import BrokerManifest
from services.formats.trust import Trust


@dataclass(frozen=True, slots=True)
class Granted:
    """The ledger's leave, what it was asked, and when (monotonic seconds)."""

    authorization: Authorization
    query: Query
    asked: float


class Carrier:
    """Sends exchanges. `stopping` is set when the process must end."""

    def __init__(
        self,
        ledger: Ledger,
        witness: Witness,
        view: RegistryView,
        channels: Channels,
        signer: Signer,
        trust: Trust,
        clock: Clock,
        executor: Executor,
        stopping: Event,
    ) -> None:
        self._ledger, self._witness, self._view = ledger, witness, view
        self._channels, self._signer, self._trust = channels, signer, trust
        self._clock, self._executor, self._stopping = clock, executor, stopping

    async def authorize(self, case: Case, documents: tuple[Checked, ...]) -> Granted | Denied:
        """Asks for the decision. Raises: AccordError of kind UNAVAILABLE, above all LEDGER_ROLLED_BACK."""
        self._witness.require()
        query = case.query(categories(documents), labels(documents))
        sizes, asked = self._witness.sizes(), self._clock.monotonic()
        decision = await self._ledger.authorize(case, query, tuple(document.ins for document in documents))
        if isinstance(decision, Denied):
            return decision
        self._witness.require_new(decision.entry.origin, decision.entry.index, sizes)
        return Granted(decision, query, asked)

    async def send(self, case: Case, granted: Granted, bundle: SpooledBundle) -> Sent:
        """Sends the bundle and judges the acknowledgement."""
        try:
            permit = check_permit(case, granted.authorization, self._trust, self._clock.wall_ms())
            recipient = self._recipient(case.manifest.recipient)
            channel = self._channels.to(recipient.endpoint, parse_spiffe_id(recipient.spiffe_id))
        except FormatError:
            return Sent(OutcomeResult.FAILED, Reason.LEDGER_UNAVAILABLE)
        except AccordError as error:
            return Sent(OutcomeResult.FAILED, error.reason)
        manifest = self._countersign(case, granted.authorization.permit)
        gate = self._gate(granted, Cover(permit.expires_s * 1000, granted.asked))
        parcel = Parcel(granted.authorization, manifest, bundle)
        sent = await deliver(channel, parcel, gate, self._clock, self._executor)
        if sent.reason is None and not acknowledges(
            sent.acknowledgement, case, manifest, self._trust.trust_domain, recipient
        ):
            return replace(sent, result=OutcomeResult.DISPUTED, reason=Reason.ACKNOWLEDGEMENT_INVALID)
        return sent

    def _recipient(self, name: str) -> ServiceRecord:
        record = self._view.current().services.get(name)
        if record is None or not record.endpoint:
            raise AccordError(Reason.RECIPIENT_UNREACHABLE)
        return record

    def _countersign(self, case: Case, permit: str) -> str:
        manifest = BrokerManifest(
            issuer=self._trust.trust_domain,
            recipient=case.manifest.recipient,
            issued_s=self._clock.wall_ms() // 1000,
            exchange=case.exchange,
            permit_sha256=sha256_hex(permit),
            sender=case.manifest.sender,
            purpose=case.manifest.purpose,
            documents=case.manifest.documents,
        )
        return manifest.sign(self._signer)

    def _gate(self, granted: Granted, cover: Cover) -> Gate:
        resources = granted.authorization.resources
        return Gate(
            granted.query, resources, cover, self._ledger, self._view, self._witness, self._clock, self._stopping
        )
