"""docs/errors.md says of each reason what the code says."""

import json
import re
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from services.chassis.status import CODES, wire_status
from services.errors import MEANINGS, Kind, Reason, Violation, invalid

TEXT = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| `[A-Z_]+` ", line)
]
RETRIED = {Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.ABORTED}


def test_the_table_holds_each_reason_once_in_the_order_of_the_code() -> None:
    assert [row[0] for row in ROWS] == [f"`{reason.value}`" for reason in Reason]


def test_each_row_says_code_meaning_and_remedy_as_the_code_does() -> None:
    said = {row[0].strip("`"): (row[1], row[4], row[5]) for row in ROWS}
    assert said == {
        reason.value: (f"`{CODES[meaning.kind].name}`", meaning.english, meaning.remedy)
        for reason, meaning in MEANINGS.items()
    }


def test_exactly_the_kinds_that_pass_are_said_to_be_worth_a_retry() -> None:
    for name, _, retry, who, *_ in ROWS:
        assert retry in {"no", "same", "new", "repaired"}
        assert who in {"caller", "patient", "editor", "recipient", "operator"}
        assert (retry != "no") == (MEANINGS[Reason[name.strip("`")]].kind in RETRIED)


def test_the_example_is_what_the_wire_carries() -> None:
    error = invalid([Violation("consent.end_time", "is required"), Violation("request_id", "has a wrong form")])
    ((_, raw),) = wire_status(error, "fr").trailing_metadata
    (shown,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert MessageToDict(Status.FromString(raw)) == json.loads(shown)
