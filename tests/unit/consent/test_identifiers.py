"""Identifiers: they come back for their own audience, and for nobody else."""

import itertools
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.keys import derive
from services.consent.domain.identifiers import CONSENT, LOCAL_BITS, PORTAL, Identifiers

IDENTIFIERS = Identifiers(lambda audience: derive(b"m" * 32, audience))
AUDIENCES = st.sampled_from([PORTAL, CONSENT, "services/lumen", "services/carnet"])
SHARDS, LOCALS = st.integers(0, 65535), st.integers(0, 2**LOCAL_BITS - 1)


@given(AUDIENCES, SHARDS, LOCALS)
def test_an_identifier_comes_back_as_shard_and_local_id(audience: str, shard: int, local: int) -> None:
    identifier = IDENTIFIERS.encipher(audience, shard, local)
    assert len(identifier) == 32
    assert IDENTIFIERS.decipher(audience, identifier) == (shard, local)


@given(AUDIENCES, AUDIENCES, SHARDS, LOCALS)
def test_another_audience_reads_nothing_in_it(one: str, other: str, shard: int, local: int) -> None:
    identifier = IDENTIFIERS.encipher(one, shard, local)
    assert (IDENTIFIERS.decipher(other, identifier) is None) == (one != other)
    assert (IDENTIFIERS.encipher(other, shard, local) == identifier) == (one == other)


@given(SHARDS, LOCALS, st.integers(0, 127))
def test_an_identifier_with_a_bit_flipped_names_nobody(shard: int, local: int, bit: int) -> None:
    changed = int(IDENTIFIERS.encipher(PORTAL, shard, local), 16) ^ (1 << bit)
    assert IDENTIFIERS.decipher(PORTAL, f"{changed:032x}") is None


@given(st.binary(min_size=16, max_size=16))
def test_a_forged_identifier_names_nobody(block: bytes) -> None:
    assert IDENTIFIERS.decipher(PORTAL, block.hex()) is None


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "g" * 32, "A" * 32, " " * 32, "0" * 30 + "\n\n", "é" * 32, "００" * 16, "-" * 32]
)
def test_what_has_not_the_form_of_an_identifier_names_nobody(text: str) -> None:
    assert IDENTIFIERS.decipher(PORTAL, text) is None


def test_an_identifier_has_one_spelling() -> None:
    identifier = next(item for item in (IDENTIFIERS.encipher(PORTAL, 1, n) for n in range(99)) if not item.isdigit())
    assert IDENTIFIERS.decipher(PORTAL, identifier.upper()) is None


def test_ids_that_follow_one_another_look_unrelated() -> None:
    blocks = [int(IDENTIFIERS.encipher(PORTAL, 0, local), 16) for local in range(64)]
    differing = [(one ^ other).bit_count() for one, other in itertools.pairwise(blocks)]
    assert min(differing) > 30
    assert len(set(blocks)) == 64


def test_a_key_of_another_master_reads_nothing() -> None:
    other = Identifiers(lambda audience: derive(b"n" * 32, audience))
    assert other.decipher(PORTAL, IDENTIFIERS.encipher(PORTAL, 0, 1)) is None


def test_keys_are_derived_once_for_each_audience_in_use_and_kept_for_a_bounded_number() -> None:
    """A caller may ask about any service: names that do not exist must not fill the memory."""
    asked: list[str] = []

    def key_for(audience: str) -> bytes:
        asked.append(audience)
        return derive(b"m" * 32, audience)

    identifiers = Identifiers(key_for)
    for _ in range(3):
        identifiers.encipher("services/lumen", 0, 1)
    assert asked == ["services/lumen"]
    for number in range(5000):
        identifiers.decipher(f"services/{number:05}", secrets.token_hex(16))
        identifiers.encipher(f"services/{number:05}", 0, 1)
    identifiers.encipher("services/lumen", 0, 1)
    assert asked.count("services/lumen") == 2


def test_a_revision_is_named_after_its_consent() -> None:
    name = IDENTIFIERS.revision_name(3, 12, 2)
    consent = name.removeprefix("consents/").removesuffix("/revisions/2")
    assert IDENTIFIERS.decipher(CONSENT, consent) == (3, 12)
