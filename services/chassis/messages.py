"""One well-formed message: exactly the fields of its type, each singular field once.

Guarantees that what a handler receives re-encodes to what was sent, so that no other reader of the same bytes can have
understood something else: bytes with unknown fields at any depth, repeated singular fields, two alternatives of a oneof,
or two messages glued together are refused. Leaves ranges and required fields to each service's `convert`.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.errors import AccordError, Reason

MAX_REORDERED_BYTES = 65_536
"""Fields in another order than the numbers' are legal, but comparing them costs Python objects: only up to this size."""


def strict(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer that refuses what its message type does not describe. Raises: AccordError(MESSAGE_MALFORMED)."""

    def decode(raw: bytes) -> Any:
        try:
            message = deserializer(raw)
        except DecodeError:
            raise malformed("the bytes are not a message of this type") from None
        if isinstance(message, Message):
            _require_exact(message, raw)
        return message

    return decode


def malformed(detail: str) -> AccordError:
    """The error for a message that is not as its type describes."""
    return AccordError(Reason.MESSAGE_MALFORMED, detail)


def _require_exact(message: Message, raw: bytes) -> None:
    """Compare with the re-encoding; equal sizes alone would let an oddly long encoding hide an overwritten field."""
    message.DiscardUnknownFields()
    encoded = message.SerializeToString()
    if encoded == raw:
        return
    if len(encoded) != len(raw):
        raise malformed("unknown fields, a field given twice, or an unusual encoding")
    if len(raw) > MAX_REORDERED_BYTES:
        raise malformed("a message of this size must have its fields in order")
    if _contents(encoded, message.DESCRIPTOR) != _contents(raw, message.DESCRIPTOR):
        raise malformed("unknown fields, a field given twice, or an unusual encoding")


def _contents(raw: bytes, descriptor: Any) -> list[tuple[int, int, str]]:
    """The fields of an encoded message whatever their order: what two encodings of the same content have in common."""
    fields: Any = UnknownFieldSet(Empty.FromString(raw))
    return sorted((f.field_number, f.wire_type, repr(_content(f.data, descriptor, f.field_number))) for f in fields)


def _content(data: object, descriptor: Any, number: int) -> object:
    field = descriptor.fields_by_number.get(number)
    if field is not None and field.message_type is not None and isinstance(data, bytes):
        return _contents(data, field.message_type)
    return data
