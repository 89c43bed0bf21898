"""A proof that a public log really gave (Rekor v2, a C2SP tile log): its last leaf at size 412,115, and checkpoint.

The leaf is kept as its hash only. Nothing here was made by the code that it tests.
"""

import pytest

from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import ProofError, verify_inclusion
from services.tlog.tlog_proof import format_proof, parse_proof

VERIFIER = Verifier.from_vkey("log2025-1.rekor.sigstore.dev+cf119915+AbfK5adZJxsI323FwGD2AJJ9F4i89cfDuLdGJBIYntuO")
LEAF = bytes.fromhex("d8528bd7a2162203357792a5766ffc9d41e62d7b80d3919e3b4f2fb35fed9d50")
PROOF = """\
c2sp.org/tlog-proof@v1
index 412114
KIoYVJ0TqmaEkFboP7YWTjSh8vFjVECmokcTOAByfIM=
Umf0h0cK2hegTzNnSgsXszyiA4bp5OvEvP+GrWq3C8w=
vNQeSNBfepYZI2Ez3ViKdCft0JH87ZS8IGKwixxUVjc=
JBAugd5awOqmHXIKgz1MOjlR5f37VqmP0bWoRVcHX5M=
xYH2mAxGxfOgvSOLnItT2LsJt+Z2a2egjf8QJFwK7jA=
PbZWM3NitzChx9A22m/kddDtzh2bAKX5Fy7j76l3z2k=
sKX9Sbsahvw5DiC2oP6pbZsDi1NzuNS1nIULXkCC57o=
pfTCxXHnCM253jwYxVJcuUhmoTTtDxznn92QhN0M4Ws=
cJ8uk2ZvZyfg+HRILKOHcyHu2pvI8Fz3R1MyMvyzWtA=

log2025-1.rekor.sigstore.dev
412115
+8vUkEgBK/ansexBUomzocaWoPEmPIzxJC/y+xNMQN4=

— log2025-1.rekor.sigstore.dev \
zxGZFahCZ/+MqTjH4rC5MWcdLDWbpetE5l30RZfQc4BQkRjWSoKipEUPjvHENeZDHIlAsuezJcLzUVvItpNjaSRoMAs=
"""


def opened() -> Checkpoint:
    return open_checkpoint(parse_proof(PROOF).checkpoint_note, VERIFIER)


def test_the_checkpoint_opens_with_the_logs_published_key() -> None:
    assert (opened().origin, opened().size) == (VERIFIER.name, 412_115)


def test_the_leaf_is_in_the_log_at_its_index_and_at_no_other() -> None:
    proof, checkpoint = parse_proof(PROOF), opened()
    verify_inclusion(LEAF, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    for other in (0, 412_113, 412_115):
        with pytest.raises(ProofError):
            verify_inclusion(LEAF, other, checkpoint.size, proof.hashes, checkpoint.root)


def test_the_proof_is_written_back_byte_for_byte() -> None:
    proof = parse_proof(PROOF)
    assert format_proof(proof.index, proof.hashes, proof.checkpoint_note) == PROOF
