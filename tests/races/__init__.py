"""Promise 2 by storm: replicas of one ledger decide, withdraw and change the same patients at once; each history is judged.

A history is judged from what its callers saw and what the log says: the promise as the log alone states it (`ctl.logbook`),
quotas (`quotas`), and linearizability against a sequential model (`linear`) that shares no rule with `services/consent`.

    python -m tests.races --interleavings 100000

Reading order: `calls`, `history` (what was seen) → `people`, `exchange`, `world` (the model) → `order`, `claims`, `linear`
(the judge) → `arena` (replicas on one database) → `storm` (what is drawn) → `campaign` (history after history).
One command at a time, against the same model: `around` → `machine` → `machine_around` (Hypothesis draws them).
"""
