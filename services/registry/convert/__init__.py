"""Protobuf to domain values (`requests`) and back (`messages`), and both for the log (`register_log`);
protobuf stops here.

Guarantees that the limits in the proto comments are enforced, once; that a request is refused with every field that is
wrong, none of them quoted; and that what passes is a domain value. Leaves to the catalog what depends on what is recorded
already.
"""
