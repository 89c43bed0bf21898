"""The consent ledger: what patients decide, and every decision that rests on it, in one order that nobody can rewrite.

Guarantees: every change and every `Authorize` is one transaction under the lock of the patient's log shard (gather, decide,
append, commit), so each authorisation stands strictly before or after each revocation; what cannot be recorded does not
happen; the log names no patient, and what it commits to can be destroyed without breaking a proof.
Leaves to the registry who is referenced, and to the broker that no byte moves without a permit.

Reading order: `domain/decision` and `domain/rules` (the one pure decision), `domain/lifecycle`, `domain/values` · `ledger`
(use cases), `handlers` (who runs which command) · under the lock: `profiles`, `consents`, `revisions`, `requests`,
`exchanges`, `sweeps`, `erasure` · `shard` (the lock), `locked` (appending) · `store/`, `tables`, `vault`, `migrations/` ·
reading: `advice`, `past`, `permitted`, `reading`, `accesses`, `watching`, `audit`, `proofs` · `integrity/`, `recovery` ·
`convert/`, `servicer/`.
"""
