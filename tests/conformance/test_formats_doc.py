"""docs/formats.md and the code say the same bytes: each example is made again, and hashed by hand from the page alone.

`python -m tests.support.format_examples` rewrites the examples after a change of format.
"""

import base64
import importlib
import json
import re
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.formats.acknowledgement import open_acknowledgement
from services.formats.assertion import open_assertion
from services.formats.canonical import dumps
from services.formats.entry import parse_entry
from services.formats.evidence import parse_evidence
from services.formats.lease import open_lease, parse_record
from services.formats.manifest import open_broker_manifest, open_manifest
from services.formats.permit import open_permit
from services.formats.times import text_of
from services.formats.trust import KeyRole, parse_trust
from services.formats.verify import STEPS, verify
from services.tlog.note import Verifier
from tests.support.format_examples import BLOCK, DOCUMENT, FILES, examples

TEXT = DOCUMENT.read_text(encoding="utf-8")
BLOCKS = {found[2]: found[3] for found in BLOCK.finditer(TEXT)}
MADE, MADE_FILES = examples()
ENTRIES = sorted(name for name in BLOCKS if name.startswith("entry-"))
TREE = dict(line.rsplit(" ", 1) for line in BLOCKS["tree"].splitlines())
_MEMBER = re.compile(r"^\| `(\w+)` \| ", re.MULTILINE)
_LIMIT = re.compile(r"^\| [^|]+ \| ([0-9,]+) \| `([\w.]+)` \|$", re.MULTILINE)


def test_the_page_shows_every_example_once_and_no_other() -> None:
    assert sorted(found[2] for found in BLOCK.finditer(TEXT)) == sorted(MADE)


@pytest.mark.parametrize("name", sorted(MADE))
def test_running_the_code_makes_the_example(name: str) -> None:
    assert BLOCKS[name] == MADE[name]


@pytest.mark.parametrize("name", sorted(MADE_FILES))
def test_running_the_code_makes_the_file(name: str) -> None:
    assert (FILES / name).read_bytes() == MADE_FILES[name]


def test_the_evidence_file_verifies_in_the_steps_that_the_page_lists() -> None:
    steps: list[str] = []
    trust = parse_trust((FILES / "trust.json").read_bytes())
    verify((FILES / "evidence.json").read_bytes(), trust, lambda _, title: steps.append(title))
    listed = re.findall(r"^(\d+)\. \*\*(.+?)\*\*", TEXT, re.MULTILINE)
    assert listed == [(str(number), title) for number, (title, _) in enumerate(STEPS, 1)]
    assert steps == [title for title, _ in STEPS]


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_of_the_page_is_read_and_written_back(name: str) -> None:
    entry = parse_entry(BLOCKS[name].encode())
    assert entry.to_bytes().decode() == BLOCKS[name]


def test_the_table_of_members_names_those_of_the_entries() -> None:
    section = TEXT[TEXT.index("### Entry") : TEXT.index("### Commitment")]
    shown = {member for name in ENTRIES for member in json.loads(BLOCKS[name])}
    assert set(_MEMBER.findall(section)) == shown


def test_the_commitment_is_the_hash_of_salt_and_body() -> None:
    salt, commit = (line.split()[1] for line in BLOCKS["commitment"].splitlines())
    assert sha256(bytes.fromhex(salt) + BLOCKS["body-authorized"].encode()).hexdigest() == commit
    assert json.loads(BLOCKS["entry-exchange-authorized"])["commit"] == commit


def test_the_tree_is_hashed_as_the_page_says() -> None:
    assert _leaf(BLOCKS["entry-exchange-authorized"]) == TREE["leaf 6"]
    for node, hexadecimal in TREE.items():
        if node.startswith("node "):
            level, index = map(int, node.removeprefix("node ").split(","))
            kind = "leaf {}" if level == 1 else f"node {level - 1},{{}}"
            left, right = (bytes.fromhex(TREE[kind.format(2 * index + side)]) for side in (0, 1))
            assert sha256(b"\x01" + left + right).hexdigest() == hexadecimal
    assert TREE["root of 8"] == TREE["node 3,0"]


def test_the_checkpoint_states_that_root_and_its_key_signed_it() -> None:
    origin, size, root, blank, line = BLOCKS["checkpoint"].split("\n")
    assert (size, base64.b64decode(root).hex(), blank) == ("8", TREE["root of 8"], "")
    dash, name, data = line.split(" ")
    log = Verifier.from_vkey(BLOCKS["vkey"])
    key_id = sha256(origin.encode() + b"\n\x01" + log.public_key).digest()[:4]
    signed = base64.b64decode(data)
    assert (dash, name, signed[:4]) == ("—", origin, key_id)
    log.verify(f"{origin}\n{size}\n{root}\n".encode(), signed[4:])


def test_the_proof_climbs_from_the_leaf_to_the_root() -> None:
    header, index, *hashes = BLOCKS["proof"].partition("\n\n")[0].split("\n")
    assert (header, index) == ("c2sp.org/tlog-proof@v1", "index 6")
    found = [base64.b64decode(text).hex() for text in hashes]
    assert found == [TREE["leaf 7"], TREE["node 1,2"], TREE["node 2,0"]]


def test_the_snapshot_is_the_tree_over_the_records() -> None:
    first, second, root = (line.rsplit(" ", 1)[1] for line in BLOCKS["snapshot"].splitlines())
    assert _leaf(BLOCKS["record"]) == second
    assert sha256(b"\x01" + bytes.fromhex(first) + bytes.fromhex(second)).hexdigest() == root
    assert json.loads(BLOCKS["lease-claims"])["snapshot"] == root
    assert parse_record(BLOCKS["record"].encode()).to_bytes().decode() == BLOCKS["record"]


def test_each_token_names_the_one_before_it_by_its_hash() -> None:
    evidence = parse_evidence((FILES / "evidence.json").read_bytes())
    exchange = sha256(BLOCKS["manifest-token"].encode()).hexdigest()
    permit, broker, acknowledgement = (
        json.loads(BLOCKS[f"{name}-claims"]) for name in ("permit", "broker-manifest", "acknowledgement")
    )
    assert {exchange} == {BLOCKS["exchange"], permit["exchange"], broker["exchange"], acknowledgement["exchange"]}
    assert permit["jti"] == TREE["leaf 6"]
    assert broker["permit_sha256"] == sha256(evidence.permit.encode()).hexdigest()
    assert acknowledgement["manifest_sha256"] == sha256(evidence.broker_manifest.encode()).hexdigest()


def test_each_token_opens_with_the_key_that_the_page_names() -> None:
    trust, evidence = parse_trust(BLOCKS["trust"].encode()), parse_evidence((FILES / "evidence.json").read_bytes())
    sender, recipient = (parse_record(leased.record) for leased in (evidence.sender, evidence.recipient))
    open_lease(evidence.lease, trust.trust_domain, trust.key_of(KeyRole.LEASE))
    open_manifest(evidence.manifest, sender.key)
    open_permit(evidence.permit, trust.key_of(KeyRole.PERMIT))
    open_broker_manifest(evidence.broker_manifest, trust.key_of(KeyRole.BROKER))
    open_acknowledgement(evidence.acknowledgement, recipient.key)


def test_the_assertion_is_in_the_body_opens_with_the_portal_s_key_and_is_hashed_by_the_entry() -> None:
    token = json.loads(BLOCKS["body-granted"])["assertion"]
    said = open_assertion(token, parse_trust(BLOCKS["trust"].encode()).key_of(KeyRole.PORTAL))
    entry = json.loads(BLOCKS["entry-consent-granted"])
    assert said.to_json() == json.loads(BLOCKS["assertion-claims"])
    assert sha256(token.encode()).hexdigest() == entry["assertion"]
    assert (said.service, text_of(said.end_ms)) == (entry["service"], entry["until"])


def test_the_key_s_name_is_its_thumbprint_and_the_fingerprint_is_the_file_s_hash() -> None:
    kid = base64.urlsafe_b64encode(sha256(BLOCKS["jwk"].encode()).digest()).rstrip(b"=").decode()
    assert kid == BLOCKS["kid"] == json.loads(BLOCKS["manifest-header"])["kid"]
    assert sha256(dumps(json.loads(BLOCKS["trust"]))).hexdigest() == BLOCKS["trust-fingerprint"]


def test_the_identifier_deciphers_to_the_block() -> None:
    lines = dict(line.split() for line in BLOCKS["identifier"].splitlines())
    cipher = Cipher(algorithms.AES256(bytes.fromhex(lines["key"])), modes.ECB()).decryptor()
    assert cipher.update(bytes.fromhex(lines["identifier"])).hex() == lines["block"]
    assert lines["identifier"] == json.loads(BLOCKS["manifest-claims"])["patient"]


def test_the_limits_are_those_of_the_code() -> None:
    limits = _LIMIT.findall(TEXT[TEXT.index("## Limits") :])
    assert len(limits) == TEXT[TEXT.index("## Limits") :].count("`services.")
    assert {where: number for number, where in limits} == {where: f"{_constant(where):,}" for _, where in limits}


def _constant(where: str) -> int:
    """A module's constant, or the default of a field of settings (`module.Class.field`)."""
    owner, _, name = where.rpartition(".")
    module, _, last = owner.rpartition(".")
    if last[0].isupper():
        field: int = getattr(importlib.import_module(module), last).__dataclass_fields__[name].default
        return field
    constant: int = getattr(importlib.import_module(owner), name)
    return constant


def _leaf(entry: str) -> str:
    return sha256(b"\x00" + entry.encode()).hexdigest()


def test_the_witness_signed_its_time_and_the_whole_checkpoint() -> None:
    text, _, lines = BLOCKS["cosigned"].partition("\n\n")
    _, name, data = lines.split("\n")[1].split(" ")
    public_key = base64.b64decode(BLOCKS["witness-vkey"].rpartition("+")[2])[1:]
    signed = base64.b64decode(data)
    assert signed[:4] == sha256(name.encode() + b"\n\x04" + public_key).digest()[:4]
    message = f"cosignature/v1\ntime {int.from_bytes(signed[4:12])}\n{text}\n"
    Verifier(name, public_key).verify(message.encode(), signed[12:])


def test_the_tile_is_the_leaf_hashes_of_the_tree() -> None:
    leaves = b"".join(bytes.fromhex(TREE[f"leaf {index}"]) for index in range(8))
    assert f"tile/0/000.p/8           256 {sha256(leaves).hexdigest()}" in BLOCKS["tiles"].split("\n")
