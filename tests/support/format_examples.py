"""The worked examples of docs/formats.md, each from running the code.

`python -m tests.support.format_examples` writes them into the document and into docs/examples; a test compares them.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from services.chassis.keys import derive
from services.formats.canonical import dumps
from services.formats.entry import commitment, sha256_hex
from services.formats.jwk import unb64url
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import Frontier, leaf_hash, merkle_root
from tests.support import format_sequel
from tests.support.format_story import MASTER, ORIGIN, RECIPIENT, SENDER, Story, key, trust
from tests.support.format_tiles import WITNESS, tiles

ROOT = Path(__file__).parents[2]
DOCUMENT, FILES = ROOT / "docs" / "formats.md", ROOT / "docs" / "examples"
BLOCK = re.compile(r"(<!-- example: ([a-z0-9-]+) -->\n```[a-z]*\n)(.*?)(\n```\n)", re.DOTALL)
"""A named example in the document: what comes before its text, its name, its text, what comes after."""


def examples() -> tuple[dict[str, str], dict[str, bytes]]:
    """The texts of the document's blocks by name, without their last newline, and the files beside it."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        story.play()
        format_sequel.play(story)
        entries = story.proofs.entries(ORIGIN, 0, 100)
        texts = _keys() | _entries(entries) | _opening(story) | _tree(entries) | _log(story)
        texts |= _registry(story) | _tokens(story) | _assertion(story, entries) | _identifier(story)
        texts |= tiles(entries, texts["checkpoint"])
        texts |= {"trust": trust().to_bytes().decode(), "trust-fingerprint": trust().fingerprint}
        texts |= {"canonical": dumps({"b": [], "a": "é\n", "c": 2**53 - 1}).decode()}
        story.database.close()
    files = {"evidence.json": story.evidence.to_bytes(), "trust.json": trust().to_bytes()}
    return {name: text.removesuffix("\n") for name, text in texts.items()}, files


def _keys() -> dict[str, str]:
    names = ("log", "lease", "permit", "broker", "portal", WITNESS, SENDER, RECIPIENT)
    private = {name: sha256_hex(f"accord example key: {name}") for name in names}
    lines = [f"{name:24} {secret}" for name, secret in private.items()]
    jwk = key(SENDER).verify_key
    return {"keys": "\n".join(lines), "jwk": dumps(jwk.jwk).decode(), "kid": jwk.kid}


def _entries(entries: list[bytes]) -> dict[str, str]:
    """The first entry of each type."""
    found: dict[str, str] = {}
    for entry in entries:
        found.setdefault("entry-" + json.loads(entry)["type"].replace(".", "-"), entry.decode())
    return found


def _opening(story: Story) -> dict[str, str]:
    logged, recorded = story.evidence.authorization, story.evidence.outcome
    salts = f"salt   {logged.salt.hex()}\ncommit {commitment(logged.salt, logged.body)}"
    return {"body-authorized": logged.body.decode(), "body-outcome": recorded.body.decode(), "commitment": salts}


def _assertion(story: Story, entries: list[bytes]) -> dict[str, str]:
    """The bodies of the first grant and of the first amendment, and the assertion that the first one holds."""
    types = [json.loads(entry)["type"] for entry in entries]
    granted, amended = (story.bodies[types.index(f"consent.{name}")].decode() for name in ("granted", "amended"))
    return {"body-granted": granted, "body-amended": amended} | _token("assertion", json.loads(granted)["assertion"])


def _tree(entries: list[bytes]) -> dict[str, str]:
    leaves = [leaf_hash(entry) for entry in entries]
    lines = [f"leaf {index} {leaf.hex()}" for index, leaf in enumerate(leaves[:8])]
    _, nodes = Frontier.empty().extend(leaves[:8])
    lines += [f"node {node.level},{node.index} {node.hash.hex()}" for node in nodes if node.level]
    return {"tree": "\n".join([*lines, f"root of 8 {merkle_root(leaves[:8]).hex()}"])}


def _log(story: Story) -> dict[str, str]:
    proof = story.evidence.authorization.proof
    (log,) = trust().logs
    return {"vkey": log.vkey, "checkpoint": parse_proof(proof).checkpoint_note, "proof": proof}


def _registry(story: Story) -> dict[str, str]:
    leaves = "\n".join(f"leaf {index} {leaf_hash(record).hex()}" for index, record in enumerate(story.records))
    named = {"record": story.records[1].decode(), "snapshot": f"{leaves}\nroot   {story.lease.pin.hash}"}
    return named | _token("lease", story.evidence.lease)


def _tokens(story: Story) -> dict[str, str]:
    parts = story.evidence
    texts = {"manifest-token": parts.manifest, "exchange": sha256_hex(parts.manifest)}
    for name in ("manifest", "permit", "broker_manifest", "acknowledgement"):
        texts |= _token(name.replace("_", "-"), getattr(parts, name))
    return texts


def _token(name: str, token: str) -> dict[str, str]:
    """The header and the payload of a token, as the bytes they are."""
    header, payload = (unb64url(part).decode() for part in token.split(".")[:2])
    return {f"{name}-header": header, f"{name}-claims": payload}


def _identifier(story: Story) -> dict[str, str]:
    pseudonym = json.loads(unb64url(story.evidence.manifest.split(".")[1]))["patient"]
    decoded: Any = story.identifiers.decipher(SENDER, pseudonym)
    shard, local = decoded
    block = shard.to_bytes(2) + bytes(6) + local.to_bytes(8)
    lines = (f"master     {MASTER.hex()}", f"key        {derive(MASTER, 'identifiers of ' + SENDER).hex()}")
    return {"identifier": "\n".join((*lines, f"block      {block.hex()}", f"identifier {pseudonym}"))}


def main() -> None:
    """Writes every example into the document, and the files beside it."""
    texts, files = examples()
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(BLOCK.sub(lambda found: found[1] + texts[found[2]] + found[4], text), encoding="utf-8")
    FILES.mkdir(exist_ok=True)
    for name, data in files.items():
        (FILES / name).write_bytes(data)


if __name__ == "__main__":
    main()
