"""Benchmarks as ratios: what Accord's guarantees cost against a server that gives none, in one run on one machine.

Guarantees that both sides of a ratio run in turns (bare, Accord, bare, Accord …) through the same client code, the same
certificates and TLS 1.3, each server on one core and the client on another, and that what is measured is the real process on
a real database with every fsync. Absolute figures are printed too; they belong to the machine.

Reading order: `plan` (how much, and the bars) → `__main__`, `run` (the order) → `seed` (the ledger) → `workload`, `load`
(requests, and the loop that sends them) → `decisions`, `forwards` (the two measurements) → `bare` (what they are compared
with) → `report`.
"""
