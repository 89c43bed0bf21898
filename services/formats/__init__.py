"""The signed and hashed formats that leave a process, byte for byte as docs/formats.md describes them.

Pure: bytes in, values out, or `FormatError`. Guarantees that what parses is what was meant: canonical JSON only, no
duplicate member, no unknown member, no float, strict base64url. Leaves transport, storage and policy to others.

Reading order: `canonical` (RFC 8785 and strict reading) · `times` · `rights` (direction, purpose, scope) · `edwards`, `jwk`,
`jws` · `entry` (the ledger) · `lease` (the registry's snapshot) · `manifest`, `permit`, `acknowledgement` (the tokens of an
exchange) · `trust` · `evidence` (the file) · `verify` (its verification, step by step).
"""
