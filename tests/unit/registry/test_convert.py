"""Messages to domain values and back, and what a registrar is told about a wrong one."""

import pytest
from accord.registry.v1 import catalog_service_pb2 as catalog_pb
from accord.registry.v1 import lease_service_pb2 as lease_pb
from accord.registry.v1 import registry_pb2 as pb
from accord.registry.v1 import registry_service_pb2 as moves_pb
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.errors import AccordError, Reason
from services.formats.lease import parse_record
from services.formats.rights import Direction, Purpose
from services.registry.convert import enums, messages, requests
from services.registry.domain.service import RecordedOrganization, admit
from services.registry.domain.wish import Wish
from tests.support.register import (
    END_S,
    START_S,
    TRUST_DOMAIN,
    application,
    convention_message,
    notice_message,
    organization_message,
    p256_signer,
    service_message,
    signer,
)

KEY, OTHER_KEY = signer(), p256_signer()


def violated(call: object, *args: object, **kwargs: object) -> list[str]:
    """The fields that a conversion refuses, in its order."""
    with pytest.raises(AccordError) as raised:
        call(*args, **kwargs)  # type: ignore[operator]
    assert raised.value.reason is Reason.FIELD_INVALID
    return [violation.field for violation in raised.value.violations]


def test_an_organization_comes_back_as_it_was_asked_with_the_time_of_its_record() -> None:
    asked = organization_message()
    recorded = messages.organization(RecordedOrganization(requests.organization(asked), 1_700_000_000_123))
    assert recorded.create_time == Timestamp(seconds=1_700_000_000, nanos=123_000_000)
    for output in ("create_time", "etag"):
        recorded.ClearField(output)
    assert recorded == asked


@given(
    categories=st.lists(st.sampled_from(["class:10", "class:31", "class:95"]), min_size=1, unique=True),
    directions=st.lists(st.sampled_from(sorted(enums.DIRECTIONS)), min_size=1, unique=True),
    purposes=st.lists(st.sampled_from(sorted(enums.PURPOSES)), min_size=1, unique=True),
    start_ms=st.integers(0, 253_402_300_799_998),
    ins=st.booleans(),
    keys=st.sampled_from([(KEY,), (OTHER_KEY,), (KEY, OTHER_KEY)]),
    endpoint=st.sampled_from(["", "a.example:443"]),
)
def test_a_service_comes_back_as_it_was_asked_and_so_does_its_record(
    categories: list[str],
    directions: list[pb.Direction.ValueType],
    purposes: list[pb.Purpose.ValueType],
    start_ms: int,
    ins: bool,
    keys: tuple[object, ...],
    endpoint: str,
) -> None:
    convention = convention_message(
        categories=sorted(categories),
        directions=sorted(directions),
        purposes=sorted(purposes),
        start_time=Timestamp(seconds=start_ms // 1000, nanos=start_ms % 1000 * 1_000_000),
        end_time=Timestamp(seconds=253_402_300_799, nanos=999_000_000),
        ins_in_documents=ins,
    )
    asked = service_message(1, *keys, convention=convention, endpoint=endpoint)  # type: ignore[arg-type]
    service = admit(requests.application(asked, allow_local=False), TRUST_DOMAIN, 1_700_000_000_000)

    shown = messages.service(service)
    assert shown.spiffe_id == "spiffe://mes.example/service/service-1"
    assert shown.status == pb.SERVICE_STATUS_APPLIED
    assert [key.kid for key in shown.signing_keys] == [key.verify_key.kid for key in keys]  # type: ignore[attr-defined]
    for field in ("spiffe_id", "status", "create_time", "etag"):
        shown.ClearField(field)
    for key in shown.signing_keys:
        key.ClearField("kid")
    assert shown == asked

    record = parse_record(service.record)
    assert record.convention == service.application.convention
    assert [key.kid for key in record.keys] == [key.kid for key in service.application.keys]
    assert (record.endpoint, record.spiffe_id) == (endpoint, service.spiffe_id)


def test_the_enums_of_contract_and_domain_cover_each_other() -> None:
    assert set(enums.DIRECTIONS) == set(pb.Direction.values()) - {0}
    assert set(enums.DIRECTIONS.values()) == set(Direction)
    assert set(enums.PURPOSES) == set(pb.Purpose.values()) - {0}
    assert set(enums.PURPOSES.values()) == set(Purpose)
    assert set(enums.STATUSES.values()) == set(pb.ServiceStatus.values()) - {0}


def test_an_empty_organization_is_told_every_field_it_lacks() -> None:
    assert violated(requests.organization, pb.Organization()) == [
        "organization.name",
        "organization.siren",
        "organization.oid",
        "organization.display_name",
    ]


def test_an_empty_service_is_told_every_field_it_lacks() -> None:
    assert violated(requests.application, pb.Service(), allow_local=False) == [
        "service.name",
        "service.organization",
        "service.display_name",
        "service.oid",
        "service.signing_keys",
        "service.convention.categories",
        "service.convention.directions",
        "service.convention.purposes",
        "service.convention.start_time",
        "service.convention.end_time",
        "service.convention.notice.version",
        "service.convention.notice.text",
        "service.convention.notice.sha256",
    ]


def test_output_only_fields_are_refused() -> None:
    now = Timestamp(seconds=1)
    assert violated(requests.organization, organization_message(create_time=now)) == ["organization.create_time"]
    asked = service_message(
        spiffe_id="spiffe://mes.example/service/other",
        status=pb.SERVICE_STATUS_REFERENCED_WITH_EXCHANGE,
        create_time=now,
        etag="x",
    )
    asked.signing_keys[0].kid = "x"
    assert violated(requests.application, asked, allow_local=False) == [
        "service.spiffe_id",
        "service.status",
        "service.create_time",
        "service.etag",
        "service.signing_keys[0].kid",
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"directions": [0]}, "directions"),
        ({"directions": [7]}, "directions"),
        ({"directions": [1, 1]}, "directions"),
        ({"purposes": [0, 1]}, "purposes"),
        ({"purposes": [99]}, "purposes"),
        ({"categories": ["class:77"]}, "categories"),
        ({"end_time": Timestamp(seconds=START_S)}, "end_time"),
        ({"end_time": Timestamp(seconds=START_S - 1)}, "end_time"),
        ({"end_time": Timestamp(seconds=253_402_300_800)}, "end_time"),
        ({"start_time": Timestamp(seconds=-1)}, "start_time"),
        ({"start_time": Timestamp(seconds=START_S, nanos=1)}, "start_time"),
        ({"start_time": Timestamp(seconds=START_S, nanos=1_000_000_000)}, "start_time"),
        ({"start_time": Timestamp(seconds=START_S, nanos=-1)}, "start_time"),
        ({"notice": pb.InformationNotice(version="1", text="a", sha256="0" * 64)}, "notice.sha256"),
        ({"notice": notice_message("x" * 20_001)}, "notice.text"),
    ],
)
def test_a_convention_with_one_wrong_field_names_that_field(fields: dict[str, object], expected: str) -> None:
    asked = service_message(convention=convention_message(**fields))
    assert violated(requests.application, asked, allow_local=False) == [f"service.convention.{expected}"]


def test_a_convention_of_one_millisecond_is_a_convention() -> None:
    end = Timestamp(seconds=END_S, nanos=1_000_000)
    asked = application(convention=convention_message(start_time=Timestamp(seconds=END_S), end_time=end))
    assert asked.convention.end_ms - asked.convention.start_ms == 1


def test_a_service_signs_with_one_to_eight_distinct_readable_keys() -> None:
    application(1, *(signer() for _ in range(8)))
    many = service_message(1, *(signer() for _ in range(9)))
    assert violated(requests.application, many, allow_local=False) == ["service.signing_keys"]
    twice = service_message(1, KEY, OTHER_KEY, KEY)
    assert violated(requests.application, twice, allow_local=False) == ["service.signing_keys[2].jwk"]
    broken = service_message(signing_keys=[pb.SigningKey(jwk="{}"), pb.SigningKey(jwk="secret text")])
    assert violated(requests.application, broken, allow_local=False) == [
        "service.signing_keys[0].jwk",
        "service.signing_keys[1].jwk",
    ]


@given(st.text(min_size=12, max_size=60))
def test_no_violation_quotes_the_value_it_refuses(value: str) -> None:
    asked = service_message(
        name=value, organization=value, oid=value, endpoint=value, signing_keys=[pb.SigningKey(jwk=value)]
    )
    with pytest.raises(AccordError) as raised:
        requests.application(asked, allow_local=False)
    assert all(value not in violation.description for violation in raised.value.violations)


def test_a_move_needs_a_name_a_sane_etag_and_where_asked_a_justification() -> None:
    def move(name: str, etag: str, why: str, evidence: str = "", *, justified: bool = True) -> Wish:
        asked = moves_pb.SuspendServiceRequest(name=name, etag=etag, justification=why, evidence=evidence)
        return requests.service_move(asked, justified=justified)

    assert move("services/abc", "", "", justified=False) == Wish("services/abc")
    said = ("services/abc", "0123456789abcdef", "Manquement à la convention.", "2026-114")
    assert move(*said) == Wish(*said)
    assert violated(move, "abc", "x" * 65, "") == ["name", "etag", "justification"]
    assert violated(move, "services/abc", "a\nb", "x" * 201, " ") == ["etag", "justification", "evidence"]


@pytest.mark.parametrize("token", ["=", "é", "AA", "YWJj", "c2VydmljZXMvYWJj=", "c2VydmljZXMvQUJD"])
def test_a_page_token_that_is_not_ours_is_refused(token: str) -> None:
    assert violated(requests.page, catalog_pb.ListServicesRequest(page_token=token)) == ["page_token"]


@pytest.mark.parametrize("size", [-1, 101])
def test_a_page_has_1_to_100_services(size: int) -> None:
    assert violated(requests.page, catalog_pb.ListServicesRequest(page_size=size)) == ["page_size"]


def test_a_page_defaults_to_the_first_fifty() -> None:
    assert requests.page(catalog_pb.ListServicesRequest()) == ("", 50)
    assert requests.page(catalog_pb.ListServicesRequest(page_size=100)) == ("", 100)


def test_a_page_is_cut_where_it_would_no_longer_fit_and_its_token_continues_there() -> None:
    long = convention_message(notice=notice_message("é" * 20_000))
    services = [admit(application(n, convention=long), TRUST_DOMAIN, 0) for n in range(100, 200)]
    names: list[str] = []
    while services:
        page = messages.page(services, False)
        assert page.ByteSize() < 4 << 20
        assert page.services
        names += [service.name for service in page.services]
        after, _ = requests.page(catalog_pb.ListServicesRequest(page_token=page.next_page_token))
        assert after == (names[-1] if page.next_page_token else "")
        services = [service for service in services if after and service.name > after]
    assert names == [f"services/service-{n}" for n in range(100, 200)]


@pytest.mark.parametrize(("known", "wait", "fields"), [(-1, 0, ["known_sequence"]), (0, 11, ["wait_seconds"])])
def test_a_reader_waits_at_most_ten_seconds_for_a_sequence(known: int, wait: int, fields: list[str]) -> None:
    asked = lease_pb.GetLeaseRequest(known_sequence=known, wait_seconds=wait)
    assert violated(requests.poll, asked) == fields
    assert requests.poll(lease_pb.GetLeaseRequest(known_sequence=7, wait_seconds=10)) == (7, 10)
