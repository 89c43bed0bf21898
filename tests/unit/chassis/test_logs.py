"""The operator's log: one safe line per record."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from services.chassis.logs import configure_logging, log_loop_errors

CANARY = "279035121518989"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("echo", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def _line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_a_record_is_one_json_line_with_its_fields(stream: io.StringIO) -> None:
    logging.getLogger("services.x").info("said %d", 1, extra={"fields": {"port": 7, "odd": object(), "time": "no"}})
    entry = _line(stream)
    assert (entry["message"], entry["port"], entry["level"], entry["service"]) == ("said 1", 7, "INFO", "echo")
    assert (entry["odd"], entry["time"][-1]) == ("<object>", "Z")


def test_control_characters_are_escaped(stream: io.StringIO) -> None:
    text = "a\nb\r\0\x1b[31m\x7f\x85\u2028é"
    logging.getLogger("services.x").info(text, extra={"fields": {"note": text}})
    raw = stream.getvalue()
    assert raw.endswith("\n")
    assert all(" " <= character < "\x7f" for character in raw[:-1])
    assert _line(stream)["message"] == _line(stream)["note"] == text


def test_an_exception_shows_types_and_places_but_no_message(stream: io.StringIO) -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as cause:
            raise ValueError(CANARY) from cause
    except ValueError:
        logging.getLogger("services.x").exception("failed")
    entry = _line(stream)
    assert [error["type"] for error in entry["error"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert "test_logs.py" in entry["error"][0]["at"][0]
    assert CANARY not in stream.getvalue()


def test_another_librarys_arguments_are_left_out(stream: io.StringIO) -> None:
    logging.getLogger("grpc._cython.cygrpc").warning("Invalid encoding on %s", CANARY)
    assert _line(stream)["message"] == "Invalid encoding on %s"


def test_an_exception_given_as_message_shows_its_type(stream: io.StringIO) -> None:
    logging.getLogger("grpc").error(ValueError(CANARY))
    assert _line(stream)["message"] == "<ValueError>"


async def test_a_task_that_nobody_awaits_shows_no_message(stream: io.StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_errors)
    loop.call_soon(_fail, CANARY)
    await asyncio.sleep(0)
    assert _line(stream)["error"][0]["type"] == "builtins.ValueError"
    assert CANARY not in stream.getvalue()


def _fail(text: str) -> None:
    raise ValueError(text)
