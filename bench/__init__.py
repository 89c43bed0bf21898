"""Benchmarks as ratios: what Accord's guarantees cost against a server that gives none, in one run on one machine.

Guarantees that both sides of a ratio run in turns (bare, Accord, bare, Accord …) through the same client code, the same
certificates and TLS 1.3, each server on one core and the client on another, and that what is measured is the real process on
a real database with every fsync. Absolute figures are printed too; they belong to the machine. So does the one bar that is
no ratio, the time of a proof at a million entries. What a ledger's size costs is a ratio of a large one to a small one.

Reading order: `plan`, `bars` (how much, and what has to be reached) → `__main__`, `run` (the order) → `ledgers`, `seed`,
`seeded` (the ledger) → `workload`, `load` (requests, and the loop that sends them) → `decisions`, `forwards`, `proofs` (the
three measurements) → `bare` (what they are compared with) → `growth` (the run of `make bench-large`) → `report`.
"""
