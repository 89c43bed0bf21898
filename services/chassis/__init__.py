"""How a process runs: everything between the network and a servicer, the same for every service.

Guarantees that a servicer is reached only by a caller with a verified identity, through a method that the access policy
gives it, within a deadline, with one well-formed message; and that every failure leaves as a stable error. Knows no
service and owns no table.

Reading order: `server` (one process from start to drain) → `acceptor` and `interceptors` (one RPC) → `identity`,
`access`, `messages`, `status` (what each step checks) → `tls`, `channel`, `telemetry`, `logs`, `config`, `clock`
→ `registry`, `ledger`, `witness` (what a process believes of the other two).
"""
