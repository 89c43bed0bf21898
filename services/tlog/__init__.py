"""The transparency log's mathematics and texts: Merkle tree, proofs, signed notes, checkpoints.

Guarantees:

- Hashing is that of RFC 9162 §2.1; every text and file is byte-compatible with C2SP `signed-note`, `tlog-checkpoint`,
  `tlog-proof`, `tlog-tiles`, `tlog-cosignature` and `tlog-witness`, so that other people's tools read and verify this log.
- Pure and synchronous: no file, socket, clock, randomness or private key. Stored hashes come through a `read` callable,
  signatures through a `sign` callable.
- Parsers accept exactly one spelling of each value (`canonical`). Whatever does not parse or verify raises; nothing
  returns a boolean that a caller could forget to read.

Left to others: where nodes are stored, which keys are trusted and when, what the entries say, and the comparison of one
checkpoint with those seen before (`proof.verify_consistency` is its means).

Read in this order: `tree`, `proof`, `canonical`, `note`, `checkpoint`, `tlog_proof`; then `tiles`, the log as files, and
`cosignature` and `add_checkpoint`, the word of its witnesses.
"""
