"""The operator's log: one JSON object a line, on standard error.

Guarantees that a line is ASCII without control characters, that an exception appears as types and places but never with
its message, and that another library's log call appears without its arguments: neither can be known to hold no personal
data. Leaves to our own callers to log no personal data as message or `fields`.
"""

import json
import logging
import sys
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from typing import TextIO

from opentelemetry import trace

from services.formats.times import text_of

_OURS = ("services", "__main__")
_log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """Formats records as JSON lines; `extra={"fields": {...}}` adds members."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        line: dict[str, object] = {
            "time": text_of(int(record.created * 1000)),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line.update({str(key): value for key, value in fields.items() if key not in line})
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
        if record.exc_info and record.exc_info[1]:
            line["error"] = anonymous_traceback(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=_type_name).replace("\x7f", "\\u007f")


def configure_logging(service: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every log record of this process to `stream` (standard error) as JSON lines, replacing earlier handlers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it does is told once it is done, by `migrations`


def anonymous_traceback(error: BaseException) -> list[dict[str, object]]:
    """An exception and its causes, outermost first: type and places, without the messages."""
    chain: list[dict[str, object]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 8:
        frames = traceback.extract_tb(current.__traceback__)
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-20:]]
        chain.append({"type": f"{type(current).__module__}.{type(current).__qualname__}", "at": places})
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return chain


def log_loop_errors(_: AbstractEventLoop, context: Mapping[str, object]) -> None:
    """An event loop's exception handler: asyncio's own would print the exception's message and the task's arguments."""
    error = context.get("exception")
    exc_info = (type(error), error, error.__traceback__) if isinstance(error, BaseException) else None
    _log.error("unhandled error in the event loop", exc_info=exc_info)


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] in _OURS:
        return record.getMessage()
    return record.msg if isinstance(record.msg, str) else _type_name(record.msg)


def _type_name(value: object) -> str:
    return f"<{type(value).__qualname__}>"
