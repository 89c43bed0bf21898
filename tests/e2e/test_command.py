"""The `accord` command as a person types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.ctl.people import NOTICE
from services.ctl.stack import ROOT, environment
from services.ctl.up import lines
from services.formats.canonical import dumps
from services.formats.entry import sha256_hex
from services.formats.trust import KeyRole, parse_trust
from tests.support.evidence import signer
from tests.support.world import SENDER, Visit, World, new_ins

CORPUS = ROOT.parent / "shared" / "corpus" / "cda"
ACCORD = (sys.executable, "-m", "services.ctl")
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the published documents are not beside this checkout")


def accord(*arguments: str | Path, code: int = 0) -> str:
    """Standard output of the command, which must end with this code; on failure, standard error."""
    quiet = environment() | {"COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [*ACCORD, *map(str, arguments)], capture_output=True, text=True, env=quiet, cwd=ROOT, timeout=150
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def stack_flags(world: World, server: str) -> list[str]:
    """The flags of `accord call` for a world."""
    return [
        "--folder",
        str(world.stack.folder),
        "--target",
        world.stack.target(server),
        "--trust-domain",
        "mes.example",
    ]


def test_call_prints_the_answer_as_json(world: World) -> None:
    answer = accord(
        "call", "CatalogService/ListServices", "-d", "{}", "--as", "registrar", *stack_flags(world, "registry")
    )
    assert [item["name"] for item in json.loads(answer)["services"]] == [
        "services/autre",
        "services/carnet",
        "services/lumen",
    ]


def test_call_signs_a_grant_as_the_portal_does(world: World) -> None:
    flags = ("--as", "portal", "--assert", *stack_flags(world, "consent"))
    ins = new_ins(next(world.numbers))
    patient = {"root": ins.root, "matricule": ins.matricule}
    opened = json.loads(accord("call", "ConsentService/OpenProfile", "-d", json.dumps({"patient": patient}), *flags))
    pairing = {"profile": opened["profile"], "service": f"services/{SENDER}"}
    accord("call", "ConsentService/PairPatient", "-d", json.dumps(pairing), *flags)
    consent = {
        "service": f"services/{SENDER}",
        "scope": {"categories": ["class:10"], "directions": ["DIRECTION_READ"], "purposes": ["PURPOSE_CARE"]},
        "end_time": "2028-01-01T00:00:00Z",
        "notice_sha256": sha256_hex(NOTICE),
        "actor": {"role": "ACTOR_ROLE_HOLDER", "authentication": "eidas2"},
    }
    request = {"profile": opened["profile"], "request_id": "from-the-command", "consent": consent}
    granted = json.loads(accord("call", "ConsentService/GrantConsent", "-d", json.dumps(request), *flags))["consent"]
    assert granted["state"] == "CONSENT_STATE_ACTIVE"
    change = consent | {"name": granted["name"], "limits": {"exceptions": ["label:V"]}}
    amend = {"request_id": "and-once-more", "consent": change}
    amended = json.loads(accord("call", "ConsentService/AmendConsent", "-d", json.dumps(amend), *flags))["consent"]
    assert (amended["revision"], amended["limits"]["exceptions"]) == (2, ["label:V"])
    unsigned = accord(
        "call", "ConsentService/GrantConsent", "-d", json.dumps(request), *stack_flags(world, "consent"), code=1
    )
    assert "assertion: is required" in unsigned


def test_call_explains_every_violated_field_and_what_to_do(world: World) -> None:
    data = '{"query": {"service": "x"}}'
    said = accord("call", "DecisionService/Check", "-d", data, "--as", SENDER, *stack_flags(world, "consent"), code=1)
    assert all(
        word in said for word in ("FIELD_INVALID", "query.service", "query.direction", "query.purpose", "Correct")
    )


def test_call_lists_the_methods_when_it_knows_none_of_that_name() -> None:
    assert "accord.consent.v1.DecisionService/Check" in accord("call", "Nothing/AtAll", code=2)


@pytest.mark.parametrize("data", ["{", '{"nothing": 1}', "@/nowhere"])
def test_call_explains_a_request_that_is_none(world: World, data: str) -> None:
    assert "--data" in accord("call", "AuditService/GetCheckpoints", "-d", data, code=2)


def test_the_lines_that_up_prints_are_commands_that_work(world: World) -> None:
    (line,) = [line for line in lines(world.stack) if "accord call AuditService/GetCheckpoints" in line]
    answer = accord(*line.split()[1:], "--trust-domain", "mes.example")
    assert json.loads(answer)["checkpoints"]


async def test_verify_names_each_step_and_refuses_a_changed_file(visit: Visit, tmp_path: Path) -> None:
    evidence, trust = tmp_path / "evidence.json", visit.world.stack.folder / "trust.json"
    evidence.write_bytes(await visit.send(visit.bundle(await visit.patient())))
    said = accord("verify", evidence, "--trust", trust)
    assert "10. the outcome records this acknowledgement" in said
    assert "1 of 1 verified" in said
    evidence.write_bytes(evidence.read_bytes().replace(b'"purpose', b'"purposE', 1))
    assert "not verified" in accord("verify", evidence, "--trust", trust, code=1)


def test_pki_issue_signs_the_key_of_a_request_and_ignores_the_names_it_asks_for(tmp_path: Path) -> None:
    accord("pki", "init", "--folder", tmp_path / "pki", "--trust-domain", "mes.example")
    key = ec.generate_private_key(ec.SECP256R1())
    asked = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://mes.example/portal")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal")])
    csr = x509.CertificateSigningRequestBuilder(name).add_extension(asked, critical=False).sign(key, hashes.SHA256())
    (tmp_path / "lumen.csr").write_bytes(csr.public_bytes(serialization.Encoding.PEM))
    leaf = accord("pki", "issue", "--csr", tmp_path / "lumen.csr", "--service", "lumen", "--folder", tmp_path / "pki")
    names = x509.load_pem_x509_certificate(leaf.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://mes.example/service/lumen"]
    said = accord("pki", "init", "--folder", tmp_path / "pki", code=2)
    assert "already holds a certificate authority" in said


def test_trust_export_writes_what_verify_reads(tmp_path: Path) -> None:
    accord("keys", "init", "--folder", tmp_path / "keys")
    flags = ("--keys", tmp_path / "keys", "--trust-domain", "mes.example", "--shards", "2")
    accord("trust", "export", *flags, "--output", tmp_path / "trust.json")
    shown = accord("trust", "show", tmp_path / "trust.json")
    assert "mes.example/ledger/1/1+" in shown
    assert (tmp_path / "keys" / "consent" / "master.key").stat().st_mode & 0o077 == 0


def test_trust_export_takes_the_public_key_of_a_portal_that_keeps_its_own(tmp_path: Path) -> None:
    accord("keys", "init", "--folder", tmp_path / "keys")
    (tmp_path / "keys" / "portal" / "assertion.pem").unlink()
    flags = ("--keys", tmp_path / "keys", "--trust-domain", "mes.example")
    assert "portal/assertion.pem" in accord("trust", "export", *flags, code=1)
    key = signer("a portal").verify_key
    (tmp_path / "portal.jwk").write_bytes(dumps(key.jwk))
    exported = accord("trust", "export", *flags, "--portal", tmp_path / "portal.jwk")
    trust = parse_trust(exported.strip().encode())
    assert [dated.key.kid for dated in trust.keys if dated.role is KeyRole.PORTAL] == [key.kid]
    (tmp_path / "portal.jwk").write_text("{}")
    assert "not a public key" in accord("trust", "export", *flags, "--portal", tmp_path / "portal.jwk", code=1)


def test_the_demo_forwards_every_example_document(tmp_path: Path) -> None:
    shown = json.loads(accord("demo", "--folder", tmp_path / "demo", "--json"))
    assert shown["holds"]
    assert [item["outcome"] for item in shown["documents"]] == ["DELIVERED"] * 6
    assert shown["after_revoke"]["reason"] == "CONSENT_REVOKED"


def test_the_demo_refuses_whatever_is_no_document_and_never_crashes(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "below").mkdir(parents=True)
    for name, content in {
        "empty.xml": b"",
        "a.pdf": b"%PDF-1.7",
        "below/b.json": b"{}",
        "c.zip": b"PK\x03\x04",
    }.items():
        (folder / name).write_bytes(content)
    shown = json.loads(accord("demo", "--documents", folder, "--folder", tmp_path / "demo", "--json"))
    assert {item["reason"] for item in shown["documents"]} == {"DOCUMENT_MALFORMED"}
    assert shown["after_revoke"] is None


def test_the_demo_explains_a_folder_without_documents_and_keeps_folders_it_did_not_make(tmp_path: Path) -> None:
    assert "holds no file" in accord("demo", "--documents", tmp_path, code=2)
    (tmp_path / "precious").write_text("mine")
    assert "not a demo's folder" in accord("demo", "--folder", tmp_path, code=2)
    assert (tmp_path / "precious").read_text() == "mine"


@needs_corpus
@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--test-ins", {"": 26, "INS_INVALID": 4}),
        ("--no-test-ins", {"": 2, "INS_TEST_REFUSED": 26, "INS_INVALID": 2}),
    ],
)
def test_published_documents_are_forwarded_or_refused_with_their_reason(
    tmp_path: Path, flag: str, expected: dict[str, int]
) -> None:
    shown = json.loads(accord("demo", "--documents", CORPUS, "--folder", tmp_path / "demo", flag, "--json"))
    reasons = [item["reason"] for item in shown["documents"]]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == expected
    assert shown["holds"]
    assert shown["evidence_verified"] == expected[""]
