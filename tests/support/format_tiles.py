"""The examples of tiles and cosignatures: the story's log as static files, and what a witness adds to its checkpoint."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.formats.entry import sha256_hex
from services.tlog.add_checkpoint import format_add_checkpoint
from services.tlog.cosignature import Cosigner
from services.tlog.proof import consistency_proof
from services.tlog.tiles import TileReader, export
from services.tlog.tree import leaf_hash, merkle_root

WITNESS, COSIGNED_S = "witness.example", 1_790_000_000
SIZE, OLD_SIZE = 8, 6


def tiles(entries: list[bytes], checkpoint: str) -> dict[str, str]:
    """The files of the story's first SIZE entries, a cosignature of their checkpoint, and how a witness is asked for it."""
    kept = entries[:SIZE]
    files = dict(export(kept, SIZE, merkle_root([leaf_hash(entry) for entry in kept])))
    private = Ed25519PrivateKey.from_private_bytes(sha256(f"accord example key: {WITNESS}".encode()).digest())
    witness = Cosigner(WITNESS, private.sign, private.public_key().public_bytes_raw())
    proof = consistency_proof(OLD_SIZE, SIZE, TileReader(SIZE, files.__getitem__).read)
    return {
        "tiles": "\n".join(f"{path:22} {len(data):5} {sha256_hex(data)}" for path, data in files.items()),
        "witness-vkey": witness.verifier.vkey,
        "cosigned": witness.cosign(checkpoint, COSIGNED_S),
        "add-checkpoint": format_add_checkpoint(OLD_SIZE, proof, checkpoint),
    }
