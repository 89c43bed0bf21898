"""Channels to other processes: mutual TLS to one expected identity, straight to the address given.

Guarantees that a channel speaks only to the identity it names, through no proxy, without configuration from DNS, and with
bounded messages. Leaves deadlines to each call and retries to the caller: a channel retries nothing by itself.
"""

from dataclasses import dataclass

import grpc

from services.chassis.identity import Identity, server_name
from services.chassis.tls import TlsFiles, channel_credentials

MAX_METADATA_BYTES = 16_384
KEEPALIVE_TIMEOUT_MS = 5_000
RECONNECT_MS = (100, 2_000)
"""First and longest pause between attempts to connect: gRPC's own two minutes outlast every restart."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """How a channel finds out that its connection is dead: a ping every `every_ms`; with `idle` also without a call."""

    every_ms: int
    idle: bool


OURS = Keepalive(10_000, idle=True)
"""For servers of the chassis, which allow it (`server.MIN_PING_INTERVAL_MS`)."""
PARTNERS = Keepalive(300_000, idle=False)
"""For anybody's server: gRPC's own default ends a connection that pings more often, or without a call."""


def open_channel(
    target: str,
    files: TlsFiles,
    expected: Identity,
    *,
    max_message_bytes: int = 4 * 1024 * 1024,
    keepalive: Keepalive = OURS,
) -> grpc.aio.Channel:
    """A channel to `target` (`host:port` or `dns:///host:port`) that trusts only the leaf of the identity `expected`.

    Keep it: a channel costs about 2 MB. It presents the leaf read now; after a rotation open another and close this one.
    Raises: ConfigError, and AccordError(IDENTITY_INVALID) if the identity has no DNS form.
    """
    options: list[tuple[str, object]] = [
        ("grpc.ssl_target_name_override", server_name(expected)),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_retries", 0),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS[0]),
        ("grpc.min_reconnect_backoff_ms", RECONNECT_MS[1]),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MS[1]),
        ("grpc.keepalive_time_ms", keepalive.every_ms),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", int(keepalive.idle)),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    return grpc.aio.secure_channel(target, channel_credentials(files), options)
