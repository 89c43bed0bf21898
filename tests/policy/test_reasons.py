"""The vocabulary of failures is one: the enum, its meanings, the published proto and the code that raises them agree."""

import ast
import json
import re
from pathlib import Path

import pytest
from accord.errors.v1 import error_reason_pb2

from services.chassis.status import CODES, DOMAIN
from services.errors import MEANINGS, Kind, Reason

ROOT = Path(__file__).parents[2]
PREFIX = "ERROR_REASON_"
UNSPECIFIED = "UNSPECIFIED"
_VALUE = re.compile(rf"(?P<comment>(?:  //[^\n]*\n)+)  {PREFIX}(?P<name>[A-Z_]+) = \d+;")
REASONS = list(Reason)


def test_the_proto_publishes_exactly_the_reasons() -> None:
    published = {name.removeprefix(PREFIX) for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118 (no mapping)
    assert published == {reason.value for reason in Reason} | {UNSPECIFIED}
    assert set(_comments()) == published


def test_every_kind_has_a_grpc_code_of_its_own() -> None:
    assert set(CODES) == set(Kind)
    assert len(set(CODES.values())) == len(Kind)


def test_every_reason_has_words_of_its_own_in_both_languages() -> None:
    assert set(MEANINGS) == set(Reason)
    for language in ("english", "french"):
        words = [getattr(meaning, language) for meaning in MEANINGS.values()]
        assert all(text.endswith(".") and text[0].isupper() for text in words)
        assert len(set(words)) == len(words)


@pytest.mark.parametrize("reason", REASONS)
def test_the_proto_says_what_the_process_says(reason: Reason) -> None:
    """Cause, code, remedy and example, in that order."""
    meaning = MEANINGS[reason]
    cause, remedy, example = _parts(_comments()[reason.value])
    assert cause == f"{meaning.english} gRPC code {CODES[meaning.kind].name}."
    assert remedy == meaning.remedy
    assert json.loads(example) == {"reason": reason.value, "domain": DOMAIN}


def test_every_reason_is_raised_or_mapped_somewhere() -> None:
    assert _named_in_code() == {reason.name for reason in Reason}


def _comments() -> dict[str, str]:
    text = (ROOT / "protos" / "accord" / "errors" / "v1" / "error_reason.proto").read_text()
    return {match["name"]: match["comment"] for match in _VALUE.finditer(text)}


def _parts(comment: str) -> tuple[str, str, str]:
    words = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    match = re.fullmatch(r"(.+) Remedy: (.+) Example: (\{.*\})", words)
    assert match is not None, words
    return match[1], match[2], match[3]


def _named_in_code() -> set[str]:
    """Reasons that a module of services/ names; `errors.invalid` is how FIELD_INVALID is raised."""
    named: set[str] = set()
    for path in (ROOT / "services").rglob("*.py"):
        if path == ROOT / "services" / "errors.py" or "gen" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
                named.add(node.attr)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "invalid":
                named.add(Reason.FIELD_INVALID.name)
    return named & set(Reason.__members__)
