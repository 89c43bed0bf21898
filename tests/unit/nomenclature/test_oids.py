"""OIDs: their syntax, and that every constant obeys it."""

import pytest

from services.nomenclature import oids
from services.nomenclature.oids import is_oid


@pytest.mark.parametrize(
    "text", ["1.2", "0.0", "1.39", "2.999.1", "2.25.340282366920938463463374607431768211455", "1.2.250.1.213.1.4.8"]
)
def test_a_dotted_number_is_an_oid(text: str) -> None:
    assert is_oid(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "3.1", "1.40", "1..2", ".1.2", "1.2.", "1.02", "1.2.a", "1.2\n", "urn:oid:1.2", "1.٢", "1.2" + ".1" * 31],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_oid(text)


def test_every_constant_is_a_distinct_oid() -> None:
    values = [v for name, v in vars(oids).items() if name.isupper() and isinstance(v, str)]
    assert len(values) == len(set(values)) == 12
    assert all(map(is_oid, values))
