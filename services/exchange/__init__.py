"""The exchange broker: moves signed document bundles between referenced services, only under a permit of the ledger.

Guarantees: no byte leaves without a recorded authorisation that covers it at that instant; what a revocation, a suspension
or silence ends is cut, and the recipient discards what has no `commit`; every refusal after a valid manifest and every
outcome is on the record; a delivered exchange is answered with evidence that verified here. Documents stay on disk only
while they are in flight, never whole in memory, and are never rewritten.
Leaves every right to the consent ledger, and who is referenced to the registry: it decides nothing itself.

Reading order: `broker` (the use case) → `intake`, `spool`, `domain/cda`, `domain/bundle` (what comes in) → `carry`, `gate`,
`domain/cover`, `deliver` (what goes out) → `outcomes`, `settle`, `domain/settlement` (how it ends and
what is proven) → `store`, `clients`, `convert`, `servicer`, `wiring`, `__main__`.
"""
