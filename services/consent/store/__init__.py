"""Reads and derived state of the ledger: rows in, domain values out. Every function touches one shard, in the caller's
transaction; none decides anything.

Statements are constants: building one costs more than running it.
"""
