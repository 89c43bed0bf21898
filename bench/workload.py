"""What is asked: requests for Check and Authorize about seeded patients, drawn uniformly or after Zipf's law.

Requests of one kind differ only in fields of fixed length, so a template is filled: the client spends its core on calls.
"""

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from accord.consent.v1 import consent_service_pb2, decision_service_pb2
from accord.registry.v1 import registry_pb2

from bench.seed import RECIPIENT, SENDER
from bench.seeded import Patient
from services.nomenclature.oids import INS_NIR_TEST

CHECK = "/accord.consent.v1.DecisionService/Check"
AUTHORIZE = "/accord.consent.v1.DecisionService/Authorize"
_PSEUDONYM, _EXCHANGE, _MATRICULE = "p" * 32, "e" * 64, "m" * 15
_QUERY = decision_service_pb2.Query(
    service=f"services/{SENDER}",
    patient=_PSEUDONYM,
    direction=registry_pb2.DIRECTION_DEPOSIT,
    counterparty=f"services/{RECIPIENT}",
    purpose=registry_pb2.PURPOSE_CARE,
    categories=["class:10"],
)
PERMITTED = decision_service_pb2.CheckResponse(verdict=decision_service_pb2.Verdict(permitted=True)).SerializeToString()
"""How both answers begin when the exchange is permitted."""


def is_permitted(_: bytes, answer: bytes) -> bool:
    """Whether an answer to either request permits."""
    return answer.startswith(PERMITTED)


@dataclass(frozen=True, slots=True)
class Keys:
    """Which patients are asked about: each as often as any other, or (`zipf` > 0) the n-th n^-zipf times as often."""

    patients: Sequence[Patient]
    zipf: float = 0.0

    def draw(self, count: int, chance: random.Random) -> list[Patient]:
        """`count` patients."""
        if not self.zipf:
            return chance.choices(self.patients, k=count)
        weights = list(accumulate(rank**-self.zipf for rank in range(1, len(self.patients) + 1)))
        return chance.choices(self.patients, cum_weights=weights, k=count)


def checks(patients: Sequence[Patient]) -> list[bytes]:
    """One CheckRequest for each patient."""
    template = decision_service_pb2.CheckRequest(query=_QUERY).SerializeToString()
    return [template.replace(_PSEUDONYM.encode(), patient.pseudonym.encode()) for patient in patients]


def authorizations(patients: Sequence[Patient]) -> list[bytes]:
    """One AuthorizeRequest for each patient, about a new exchange of one document that carries their identity."""
    identity = consent_service_pb2.PatientIdentity(root=INS_NIR_TEST, matricule=_MATRICULE)
    template = decision_service_pb2.AuthorizeRequest(
        query=_QUERY, exchange=_EXCHANGE, document_patients=[identity]
    ).SerializeToString()
    return [_authorization(template, patient) for patient in patients]


def _authorization(template: bytes, patient: Patient) -> bytes:
    filled = template.replace(_PSEUDONYM.encode(), patient.pseudonym.encode())
    filled = filled.replace(_EXCHANGE.encode(), secrets.token_hex(32).encode())
    return filled.replace(_MATRICULE.encode(), patient.matricule.encode())
