"""A referenced service that receives bundles: what an integrator must do, in the order it must be done.

Guarantees that a document reaches the inbox only when the ledger's permit and the broker's manifest hold, every byte is the
one that was signed, and the bundle ended with `commit`. Leaves what to do with the documents to the service behind it.

Reading order: `checks` (what is verified before the first byte) → `inbox` (what is kept, and when) → `delivery` (the RPC) →
`__main__` (flags and start).
"""
