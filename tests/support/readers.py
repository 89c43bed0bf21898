"""The reading RPCs of a ledger, called in this process: who is told what. Identity and deadline are the interceptor's."""

import os
from dataclasses import dataclass
from typing import Any

from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2

from services.chassis.identity import Caller, Identity, set_current_caller
from services.consent.accesses import Accesses
from services.consent.advice import Advice
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.indexing import Indexer
from services.consent.past import Past
from services.consent.permitted import Permitted
from services.consent.reading import Reading
from services.consent.servicer.accesses import AccessReader
from services.consent.servicer.decisions import DecisionServicer
from services.consent.servicer.reader import ConsentReaderServicer
from tests.support.evidence import DOMAIN, signer
from tests.support.ledgers import RECIPIENT, SENDER, Bench

PERMIT_KEY = signer("permit")
REPRESENTATIVE = consent_pb2.ACTOR_ROLE_REPRESENTATIVE


@dataclass(frozen=True)
class Call:
    """What a handler sees of an RPC: its metadata."""

    language: str = "en"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("accept-language", self.language),)


CALL: Any = Call()
FRENCH: Any = Call("fr-FR, en;q=0.5")


class Readers:
    """Decisions and reader of one bench."""

    def __init__(self, bench: Bench, advice: Advice | None = None) -> None:
        self.bench, advice = bench, advice or bench.advice
        view: Any = bench.view
        self.names = Names(bench.identifiers, allow_test_ins=True)
        self.past = Past(bench.database, bench.ledger, bench.vault, bench.identifiers, bench.clock)
        self.decisions = DecisionServicer(bench.ledger, advice, self.past, self.names, PERMIT_KEY, DOMAIN, os.urandom)
        reading = Reading(bench.database, bench.ledger, bench.vault, bench.clock)
        permitted = Permitted(bench.database, bench.ledger, view, bench.clock, bench.identifiers)
        indexer = Indexer(bench.database)
        accesses = Accesses(bench.database, bench.ledger, indexer, bench.vault, bench.clock, self.names.consent_name)
        access_reader = AccessReader(accesses, self.names, bench.clock, DOMAIN)
        self.reader = ConsentReaderServicer(reading, permitted, access_reader, self.names)

    def asking(self, address: c.Address | None, service: str = SENDER, **changes: Any) -> decision_service_pb2.Query:
        """Sender to recipient, class 10, for care, or the other way; any field may be changed."""
        fields: dict[str, Any] = {
            "service": service,
            "patient": self.names.pseudonym(service, address) if address else "0" * 32,
            "direction": registry_pb2.DIRECTION_DEPOSIT,
            "counterparty": RECIPIENT if service == SENDER else SENDER,
            "purpose": registry_pb2.PURPOSE_CARE,
            "categories": ["class:10"],
        }
        return decision_service_pb2.Query(**(fields | changes))

    def profile(self, address: c.Address) -> str:
        """The profile's name."""
        return self.names.profile_name(address)

    def name(self, consent: c.Consent) -> str:
        """The consent's name."""
        return self.names.consent_name(consent.shard, consent.consent)


def calling(service: str = "") -> None:
    """Whoever calls from now on: a service (services/…), or one of our own."""
    name = service.removeprefix("services/")
    path = f"/service/{name}" if name else "/portal"
    set_current_caller(Caller(Identity(DOMAIN, path), "t" * 43, frozenset(), name or None))


def reason_name(verdict: decision_service_pb2.Verdict) -> str:
    """A verdict's reason; empty where it permits."""
    name = error_reason_pb2.ErrorReason.Name(verdict.reason)
    return "" if verdict.permitted else name.removeprefix("ERROR_REASON_")
