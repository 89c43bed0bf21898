"""Protobuf in, domain values out, and back. Nothing behind this package knows a message."""
