"""A client that says over HTTP/2 what a gRPC library would never say: raw paths, headers, bodies and TLS versions.

Just enough of RFC 9113 and RFC 7541 (literals only) for one call on one connection. Blocking: use it in a thread.
"""

import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.chassis.tls import TlsFiles

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _GOAWAY = 0, 1, 4, 7
_END_STREAM, _END_HEADERS = 1, 4
_STATUS = re.compile(rb"grpc-status[\x01\x02]([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class RawCall:
    """One request as it goes on the wire. `body` is already framed: see `framed`."""

    path: bytes
    body: bytes = b"\0\0\0\0\0"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    authority: bytes = b"localhost"
    end: bool = True
    timeout: bytes | None = b"5S"


def framed(*messages: bytes, compressed: bool = False) -> bytes:
    """Messages with gRPC's length prefix."""
    return b"".join(struct.pack(">BI", compressed, len(message)) + message for message in messages)


def raw_call(
    port: int, files: TlsFiles | None, server_name: str, call: RawCall, tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> int | None:
    """The call's gRPC status number; None if the server closed the connection without one."""
    with connection(port, files, server_name, tls) as channel:
        try:
            send_call(channel, call)
            return _read_status(channel)
        except (ConnectionError, ssl.SSLError):
            return None


@contextlib.contextmanager
def connection(
    port: int, files: TlsFiles | None, server_name: str, tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[ssl.SSLSocket]:
    """An HTTP/2 connection over TLS that has sent its preface."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = tls
    context.set_alpn_protocols(["h2"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if files is not None:
        context.load_cert_chain(files.cert, files.key)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as channel,
    ):
        channel.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        yield channel


def send_call(channel: ssl.SSLSocket, call: RawCall, stream: int = 1) -> None:
    """Send one request on an odd-numbered stream; `end=False` leaves its body open."""
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", call.path),
        (b":authority", call.authority),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *([(b"grpc-timeout", call.timeout)] if call.timeout else []),
        *call.headers,
    ]
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in headers)
    channel.sendall(_frame(_HEADERS, _END_HEADERS, stream, block))
    chunks = [call.body[start : start + 16_384] for start in range(0, len(call.body), 16_384)] or [b""]
    for index, chunk in enumerate(chunks):
        last = call.end and index == len(chunks) - 1
        channel.sendall(_frame(_DATA, _END_STREAM if last else 0, stream, chunk))


def _read_status(channel: ssl.SSLSocket) -> int | None:
    received = b""
    while not (found := _STATUS.search(received)):
        chunk = channel.recv(65_536)
        if not chunk:
            return None
        received += chunk
    return int(found.group(1))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _string(value: bytes) -> bytes:
    """An HPACK string literal without Huffman coding (RFC 7541 §5.2), its length an integer with a 7-bit prefix."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, length = len(value) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 | 128)
        rest //= 128
    return bytes([*length, rest]) + value
