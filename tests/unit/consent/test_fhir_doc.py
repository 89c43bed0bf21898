"""docs/fhir.md shows what the code writes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from services.consent.domain.accesses import Access, Asked
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Limits, Quota
from services.consent.domain.values import Actor, Consent
from services.consent.fhir.audit_event import audit_events
from services.consent.fhir.bundle import bundle
from services.consent.fhir.codings import Site
from services.consent.fhir.consent import consent_resource
from services.errors import Reason
from services.formats.rights import Direction, Purpose, Scope
from services.formats.times import instant_of
from tests.support.fhir_r4 import resources

PAGE = (Path(__file__).parents[3] / "docs" / "fhir.md").read_text(encoding="utf-8")
SITE, PROFILE, NAME = Site("mes.example"), f"profiles/{'5' * 32}", f"consents/{'c' * 32}"
GIVEN_MS = instant_of("2026-11-23T14:15:28.123Z")
CONSENT = Consent(
    shard=0,
    consent=1,
    patient=1,
    service="services/carnet-partage",
    scope=Scope(
        frozenset({"class:10", "measure:8867-4"}),
        frozenset({Direction.READ}),
        frozenset({Purpose.CARE, Purpose.PREVENTION}),
    ),
    start_ms=GIVEN_MS,
    end_ms=instant_of("2027-11-23T00:00:00.000Z"),
    notice_sha256="ab" * 32,
    actor=Actor("holder", "eidas2"),
    state=ConsentState.ACTIVE,
    revision=2,
    limits=Limits(
        exceptions=frozenset({"type:11490-0", "label:V"}),
        quota=Quota(10, 604_800),
        data_from_ms=instant_of("2020-01-01T00:00:00.000Z"),
    ),
)
DENIED = Access(
    time_ms=instant_of("2026-12-01T09:30:00.000Z"),
    service="services/lumen-audition",
    counterparty="services/carnet-partage",
    asked=Asked(Direction.DEPOSIT, Purpose.CARE, frozenset({"type:11490-0"}), frozenset()),
    authorized=False,
    reason=Reason.DATA_EXCLUDED,
    result=None,
    resources=(f"{NAME}/revisions/2",),
    exchange="e" * 64,
)


def examples() -> dict[str, Any]:
    """What the page shows, by name."""
    revised_ms = GIVEN_MS + 86_400_000
    made = [
        consent_resource(SITE, PROFILE, NAME, CONSENT, GIVEN_MS, revised_ms),
        *audit_events(SITE, PROFILE, [DENIED]),
    ]
    consent, event = resources(bundle(SITE, made, DENIED.time_ms))
    return {"consent": consent, "audit-event": event}


@pytest.mark.parametrize("name", ["consent", "audit-event"])
def test_an_example_is_what_the_code_writes(name: str) -> None:
    found = re.search(rf"<!-- example: {name} -->\n```json\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None
    assert found[1] == json.dumps(examples()[name], indent=2, ensure_ascii=False)
