"""What a verification cannot hold against anything, and why: everything else in the database is verified.

`table.column` by reason. A test flips every byte of every other column and requires a finding.
"""

UNVERIFIED = {
    "grant_request.request_id": "the caller's own id, which no entry holds",
    "grant_request.digest": "of the caller's request, which no entry holds",
    "consent_request.id": "made by the ledger, and no entry holds it",
    "consent_request.request_id": "the caller's own id, which no entry holds",
    "consent_request.digest": "of the caller's request, which no entry holds",
    "consent_request.code": "a secret of the patient and the service while it lives, so no entry holds it",
    "consent_request.claimed_patient": "who decided a request stands in no entry; that there is such a patient is verified",
    "patient.majority_ms": "no entry says when a minor comes of age",
}
"""By `table.column`. Besides: what an erased patient's or a dropped year's openings and identity held, noise to anybody;
uses that a decision of such a year counted, where their rows are gone; an alias whose patient's side was never recorded,
after a crash; trace rows removed from the end, which are made again."""
