"""The register of referenced services: who may exchange what, under which convention, with which keys.

Guarantees:

- A change, its entry in the register's own log and the snapshot that results are one commit. The snapshot's sequence grows
  by one with each change of a service, whoever writes at the same time.
- The lease names the newest snapshot this process has committed, or there is none: after a commit of unknown outcome
  nothing is handed out before the store has been read again, and a store whose records and head differ stops the start.
- A change is in the lease before its author has the answer, and wakes every reader that waits for it.
- A transport identity follows from a service's name alone; an OID and a signing key belong to one service for ever.
- Where it witnesses the consent ledger, a ledger that contradicts itself ends the leases: nobody decides or sends by the
  register any more, while registrars are served as before.
- Every change of an organisation or a service is an entry of the log, with its time and the snapshot it led to; author and
  justification stand behind its commitment. A log that contradicts the register is not served.

Leaves to others: the age of a lease (each reader's own clock), where an endpoint's name leads on the day it is dialled
(exchange), and several registry processes on one database: the others' leases would be old.

Reading order: `domain` (what a register is) · `catalog` (its use cases) · `commits`, `locked` (transactions) · `log`,
`log_reader` (what happened) · `lease` (what readers get) · `store`, `rows`, `tables`, `migrations` (SQL) · `witnessing` (the
ledger's logs) · `servicer`, `convert` (gRPC) · `config`, `health`, `start`, `__main__`.
"""
