"""Consents and accesses taken away as FHIR: on SQLite and on PostgreSQL."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader

from services.consent import accesses as gathering
from services.consent.convert.form import timestamp
from services.consent.domain.terms import Limits
from services.errors import AccordError, Reason
from tests.support.accesses import Desk, deliver, minor
from tests.support.fhir_r4 import resources
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, ins, query

REPRESENTATIVE = consent_pb2.ACTOR_ROLE_REPRESENTATIVE
SECRET = Limits(secret=True)


@pytest.fixture
async def desk(bench: Bench) -> AsyncIterator[Desk]:
    made = Desk(bench)
    yield made
    await made.close()


async def test_the_export_of_consents_is_their_current_state(desk: Desk) -> None:
    patient, bench = await desk.bench.patient(), desk.bench
    revoked = await bench.grant(patient, SENDER)
    await bench.revoke(revoked)
    bench.clock.now_ms += 1
    expiring = await bench.grant(patient, SENDER, days=1)
    bench.clock.now_ms += 1
    standing = await bench.grant(patient, RECIPIENT, limits=Limits(exceptions=frozenset({"type:11488-4"})))
    bench.clock.now_ms += DAY_MS
    found = resources(await desk.export(patient))
    names = [desk.names.consent_name(item.shard, item.consent) for item in (revoked, expiring, standing)]
    assert [item["identifier"][0]["value"] for item in found] == names
    assert [item["status"] for item in found] == ["inactive", "inactive", "active"]
    assert [item["extension"][0]["valueCode"] for item in found] == ["REVOKED", "EXPIRED", "ACTIVE"]
    assert bench.kinds().count("consent.expired") == 0


async def test_the_export_of_accesses_says_what_the_list_says(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    exchanges = [await deliver(desk, query(patient)), await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)]
    desk.bench.clock.now_ms += 1000
    await deliver(desk, query(patient))
    period = {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS + 1000)}
    found = resources(await desk.export(patient, reader.FHIR_KIND_AUDIT_EVENT, **period))
    assert [item["entity"][1]["what"]["identifier"]["value"] for item in found] == exchanges
    assert [item["outcome"] for item in found] == ["0", "8"]


async def test_an_export_names_the_patient_by_the_portals_pseudonym_alone(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    await deliver(desk, query(patient))
    period = {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS + 1)}
    events = await desk.export(patient, reader.FHIR_KIND_AUDIT_EVENT, **period)
    for exported in (await desk.export(patient), events):
        text = exported.decode()
        assert desk.names.profile_name(patient) in text
        assert ins(1).matricule not in text
        assert str(patient.patient) not in text
        assert not [
            subject for subject in {item.subject for item in desk.bench.entries()} if subject and subject in text
        ]


async def test_the_same_state_exports_the_same_bytes(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    await deliver(desk, query(patient))
    period = {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS + 1)}
    for kind, fields in ((reader.FHIR_KIND_CONSENT, {}), (reader.FHIR_KIND_AUDIT_EVENT, period)):
        assert await desk.export(patient, kind, **fields) == await desk.export(patient, kind, **fields)


async def test_a_representatives_export_holds_no_secret_consent(desk: Desk) -> None:
    patient = await minor(desk.bench)
    plain = await desk.bench.grant(patient, SENDER)
    await desk.bench.grant(patient, RECIPIENT, limits=SECRET)
    assert len(resources(await desk.export(patient))) == 2
    (only,) = resources(await desk.export(patient, viewer=REPRESENTATIVE))
    assert only["identifier"][0]["value"] == desk.names.consent_name(plain.shard, plain.consent)


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (reader.FHIR_KIND_UNSPECIFIED, {}, "kind"),
        (reader.FHIR_KIND_AUDIT_EVENT, {}, "start_time"),
        (reader.FHIR_KIND_AUDIT_EVENT, {"start_time": timestamp(NOW_MS)}, "end_time"),
        (
            reader.FHIR_KIND_CONSENT,
            {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS + 1)},
            "start_time",
        ),
    ],
)
async def test_an_invalid_export_is_refused_by_its_field(
    desk: Desk, kind: reader.FhirKind.ValueType, fields: dict[str, Any], field: str
) -> None:
    patient = await desk.bench.patient()
    with pytest.raises(AccordError) as refused:
        await desk.export(patient, kind, **fields)
    assert [item.field for item in refused.value.violations] == [field]


async def test_an_export_is_whole_or_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST", 2)
    patient = await desk.bench.consenting()
    period = {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS + 1)}
    for _ in range(2):
        await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    assert len(json.loads(await desk.export(patient, reader.FHIR_KIND_AUDIT_EVENT, **period))["entry"]) == 2
    await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    with pytest.raises(AccordError, match="end_time"):
        await desk.export(patient, reader.FHIR_KIND_AUDIT_EVENT, **period)
