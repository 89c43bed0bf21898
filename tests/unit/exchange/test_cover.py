"""The rule of cutting: what covers a byte, and until when."""

from services.errors import Reason
from services.exchange.domain.cover import Cover, barred
from services.formats.lease import ServiceRecord, Status
from tests.support.register import record

END_MS = 1_000_000
COVER = Cover(END_MS, asked=100.0)


def test_a_permit_covers_until_it_ends() -> None:
    assert COVER.holds(END_MS - 1, 104.9)
    assert not COVER.holds(END_MS, 104.9)


def test_a_clock_set_back_does_not_prolong_a_permit() -> None:
    assert not COVER.holds(END_MS - 60_000, 105.0)


def test_a_permitted_check_covers_for_three_seconds_from_when_it_was_sent() -> None:
    renewed = COVER.renewed(110.0)
    assert renewed.holds(END_MS, 112.9)
    assert not renewed.holds(END_MS, 113.0)


def test_an_older_check_that_answers_late_does_not_shorten_cover() -> None:
    assert COVER.renewed(110.0).renewed(109.0).holds(END_MS, 112.9)


def services(**statuses: Status) -> dict[str, ServiceRecord]:
    return {f"services/{name}": record(name, status) for name, status in statuses.items()}


def test_only_two_services_referenced_with_exchange_are_not_barred() -> None:
    good = Status.REFERENCED_WITH_EXCHANGE
    expected = {
        (good, good): None,
        (Status.SUSPENDED, good): Reason.SERVICE_SUSPENDED,
        (Status.APPLIED, good): Reason.SERVICE_NOT_REFERENCED,
        (Status.REFERENCED_WITHOUT_EXCHANGE, good): Reason.SERVICE_NOT_REFERENCED,
        (good, Status.SUSPENDED): Reason.RECIPIENT_NOT_PERMITTED,
        (good, Status.REFERENCED_WITHOUT_EXCHANGE): Reason.RECIPIENT_NOT_PERMITTED,
    }
    found = {
        (one, other): barred(services(lumen=one, carnet=other), "services/lumen", "services/carnet")
        for one, other in expected
    }
    assert found == expected


def test_a_service_that_left_the_register_is_barred() -> None:
    good = Status.REFERENCED_WITH_EXCHANGE
    assert barred(services(carnet=good), "services/lumen", "services/carnet") is Reason.SERVICE_NOT_REFERENCED
    assert barred(services(lumen=good), "services/lumen", "services/carnet") is Reason.RECIPIENT_NOT_PERMITTED
