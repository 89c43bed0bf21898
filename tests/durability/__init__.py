"""A ledger that is killed while it writes: what it acknowledged is there afterwards."""
