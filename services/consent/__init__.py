"""The consent ledger: what patients decide, and every decision that rests on it, in one order that nobody can rewrite.

Guarantees: every change and every `Authorize` is one transaction under the lock of the patient's log shard (gather, decide,
append, commit), so each authorisation stands strictly before or after each revocation; what cannot be recorded does not
happen; the log names no patient, and what it commits to can be destroyed without breaking a proof.
Leaves to the registry who is referenced, and to the broker that no byte moves without a permit.

Reading order: `domain/decision` (the one pure decision) · `domain/identifiers`, `domain/commands` · `ledger` (use cases) ·
`consents`, `exchanges` (what each command does under the lock) · `shard` (the lock) · `locked` (appending) · `store`,
`tables`, `vault` · `proofs` · `convert`, `servicer`, `__main__`.
"""
