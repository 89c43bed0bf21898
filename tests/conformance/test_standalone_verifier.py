"""The standalone verifier of examples/verifier accepts the evidence that `accord verify` accepts, and no other.

It shares no code with Accord: where the two differ, docs/formats.md says too little, or one of them does not follow it.
"""

import ast
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from examples.verifier import verify as standalone
from services.formats import jws
from services.formats.canonical import dumps
from services.formats.entry import Lost
from services.formats.jwk import LocalSigner, Signer, b64url, unb64url
from services.formats.manifest import MANIFEST, Coded
from services.formats.verify import verify
from services.nomenclature.documents import TYPE_SYSTEMS
from tests.support.evidence import NOW_MS, Exchange, document
from tests.support.format_story import key
from tests.unit.formats.test_evidence_steps import BREAKS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "verifier" / "verify.py"
EVIDENCE, TRUST = (ROOT / "docs" / "examples" / name for name in ("evidence.json", "trust.json"))
TITLES = re.findall(r"^\d+\. \*\*(.+?)\*\*", (ROOT / "docs" / "formats.md").read_text(encoding="utf-8"), re.MULTILINE)
GENUINE = EVIDENCE.read_bytes()
VERIFIER = standalone.Verifier(TRUST.read_bytes())
ABSENT = object()
LOINC, TRE_A04 = standalone.SYSTEMS
ASKED = "type:57833-6"
OTHERS = ({"cause": "holder"}, {"assertion": "0" * 64}, {"covers": 1}, {"lost": Lost("x", 0, 1)})
PINNED = {"hash": "0" * 64, "sequence": 0}
CONSENT = f"consents/{'0' * 32}/revisions/1"
P256 = LocalSigner(ec.generate_private_key(ec.SECP256R1())).verify_key


def first_broken(steps: Iterator[str]) -> tuple[int, str]:
    """The number of the first step that does not hold, and why; (0, "") when all do."""
    number = 0
    try:
        for _ in steps:
            number += 1
    except Exception as error:
        return number, str(error)
    return 0, ""


def judged(exchange: Exchange, **changes: Any) -> tuple[int, str]:
    """What is said of an exchange's evidence with these changes."""
    data = exchange.evidence(**changes).to_bytes()
    return first_broken(standalone.Verifier(exchange.trust.to_bytes()).evidence(data))


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the script alone: isolated from this project's folder and from the environment."""
    command = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_it_imports_the_standard_library_and_cryptography_only() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


def test_it_knows_the_code_systems_of_today() -> None:
    assert set(standalone.SYSTEMS) == TYPE_SYSTEMS


def test_genuine_evidence_holds_in_the_ten_steps_of_the_page(tmp_path: Path) -> None:
    done = run("evidence", EVIDENCE, "--trust", TRUST, "--json", folder=tmp_path)
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"], said["trust"]) == (0, True, VERIFIER.fingerprint)
    assert [step["title"] for step in said["steps"]] == TITLES
    assert all(step["ok"] for step in said["steps"])


def test_a_broken_step_is_named_with_its_reason_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "changed.json").write_bytes(GENUINE.replace(b'"index":0', b'"index":1'))
    done = run("evidence", "changed.json", "--trust", TRUST, folder=tmp_path)
    *_, last, why = done.stdout.splitlines()
    assert (done.returncode, last, why) == (1, f"FAIL  5 {TITLES[4]}", "proof: it leads to another root")


@pytest.mark.parametrize(
    "arguments",
    [(), ("evidence", EVIDENCE), ("evidence", "none", "--trust", TRUST), ("export", ".", "--trust", TRUST)],
    ids=["nothing", "no TRUST", "no file", "no export"],
)
def test_bad_use_is_status_2(arguments: tuple[object, ...], tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_trust_file_that_is_not_one_is_bad_use(tmp_path: Path) -> None:
    assert run("evidence", EVIDENCE, "--trust", EVIDENCE, folder=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "flip", [lambda position: 1 << position % 8, lambda _: 0x20, lambda _: 1], ids=["any", "case", "last"]
)
def test_changed_bytes_of_evidence_are_refused(flip: Callable[[int], int]) -> None:
    survivors = []
    for position in random.Random(20261123).sample(range(len(GENUINE)), 1000):
        changed = bytearray(GENUINE)
        changed[position] ^= flip(position)
        if first_broken(VERIFIER.evidence(bytes(changed)))[0] == 0:
            survivors.append(position)
    assert survivors == []


@pytest.mark.parametrize("part", ["lease", "sender", "recipient", "authorization", "outcome", ""])
def test_a_member_that_the_page_does_not_describe_is_refused(part: str) -> None:
    file = json.loads(GENUINE)
    if part == "lease":
        file["lease"] = resigned("lease", unknown=1)
    else:
        (file[part] if part else file)["unknown"] = 1
    number, why = first_broken(VERIFIER.evidence(dumps(file)))
    assert (number > 0, why.rpartition(": ")[2]) == (True, "an unknown member")


def members(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value within a JSON value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from members(item, (*path, name))


@pytest.mark.parametrize("path", list(members(json.loads(GENUINE))), ids=lambda path: ".".join(map(str, path)))
def test_a_member_of_evidence_of_another_value_or_absent_is_refused(path: tuple[str | int, ...]) -> None:
    for other in (None, "", "x", 0, 7, True, [], {}, ["x"], {"x": 1}, ABSENT):
        file = parent = json.loads(GENUINE)
        for name in path[:-1]:
            parent = parent[name]
        if other is ABSENT:
            parent.pop(path[-1])
        elif dumps(parent[path[-1]]) != dumps(other):
            parent[path[-1]] = other
        assert dumps(file) == GENUINE or first_broken(VERIFIER.evidence(dumps(file)))[0] > 0


@pytest.mark.parametrize("name", BREAKS)
def test_each_rule_broken_alone_is_refused_at_its_step(name: str) -> None:
    number, making = BREAKS[name]
    evidence, trust = making()
    said = first_broken(standalone.Verifier(trust.to_bytes()).evidence(evidence.to_bytes()))
    assert said[0] == (2 if name == "the authorisation has no end" else number)


def resigned(name: str, typ: str = "", **claims: Any) -> str:
    """A token of the genuine evidence with other claims, signed again with the key that signed it."""
    token = json.loads(GENUINE)[name]
    said, kind = json.loads(unb64url(token.split(".")[1])), typ or name
    return jws.sign(
        key(said["iss"] if name in ("manifest", "acknowledgement") else name),
        f"accord-{kind}+jws",
        dumps(said | claims),
    )


@pytest.mark.parametrize(
    ("number", "name", "claims", "why"),
    [
        (4, "lease", {"max_age": 31}, "lease: max_age is not 1 to 30"),
        (4, "lease", {"max_age": 0}, "lease: max_age is not 1 to 30"),
        (4, "lease", {"size": True}, "lease: size is missing or ill-formed"),
        (4, "lease", {"snapshot": "A" * 64}, "lease: snapshot is missing or ill-formed"),
        (4, "lease", {"typ": "permit"}, "lease's header: another typ than it must have"),
        (7, "permit", {"iat": 1_795_424_519}, "permit: exp is not within 5 seconds"),
        (7, "permit", {"iat": 1_795_424_525}, "permit: exp is not within 5 seconds"),
        (7, "permit", {"cnf": "x"}, "permit: cnf is missing or ill-formed"),
    ],
)
def test_a_claim_out_of_range_is_refused_though_signed(
    number: int, name: str, claims: dict[str, Any], why: str
) -> None:
    file = json.loads(GENUINE) | {name: resigned(name, **claims)}
    assert first_broken(VERIFIER.evidence(dumps(file))) == (number, why)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"expires_s": NOW_MS // 1000 + 3591}, "manifest: exp is not within an hour"),
        ({"expires_s": NOW_MS // 1000 - 10}, "manifest: exp is not within an hour"),
        ({"documents": ()}, "manifest: not 1 to 64 documents"),
        ({"documents": (document(),) * 65}, "manifest: not 1 to 64 documents"),
    ],
)
def test_a_manifest_out_of_range_is_refused_though_all_follows_from_it(changes: dict[str, Any], why: str) -> None:
    assert judged(Exchange(), manifest=changes) == (6, why)


def test_evidence_longer_than_4_mib_is_refused() -> None:
    assert first_broken(VERIFIER.evidence(bytes(4 << 20) + b"x")) == (1, "evidence: longer than 4194304 bytes")


@pytest.mark.parametrize("text", ["AA==", "AB", "A", "A A", "A+8", "AA\n"])
def test_base64_has_one_spelling(text: str) -> None:
    assert standalone._unb64("AA", url=True) == b"\0"
    with pytest.raises(ValueError):
        standalone._unb64(text, url=True)


@pytest.mark.parametrize(
    "private", [ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()], ids=["P-256", "Ed25519"]
)
def test_a_token_is_verified_with_its_one_key(private: Any) -> None:
    signer, claims = LocalSigner(private), {"logs": [], "text": "x"}
    token = jws.sign(signer, "accord-x+jws", dumps(claims))
    known: Any = ("x", *standalone._read_key(signer.verify_key.jwk), "", "~")
    assert standalone.opened({"x": token}, "x", [known], "2026", "text +logs") == claims
    signed, _, signature = token.rpartition(".")
    raw = unb64url(signature)
    for other in (bytes([raw[0] ^ 1]) + raw[1:], raw[:-1], raw + b"\0", raw[:32] + b"\0" + raw[32:], b""):
        with pytest.raises((ValueError, InvalidSignature)):
            standalone.opened({"x": f"{signed}.{b64url(other)}"}, "x", [known], "2026", "text +logs")
    for unfit in (("y", *known[1:]), (*known[:3], "2027", "~"), (*known[:3], "", "2026")):
        with pytest.raises(ValueError, match="unknown key"):
            standalone.opened({"x": token}, "x", [unfit], "2026", "text +logs")


@pytest.mark.parametrize(
    "change",
    [
        lambda trust: trust["logs"].append(trust["logs"][0]),
        lambda trust: trust["logs"].append(trust["logs"].pop().replace("eee578e1", "eee578e2")),
        lambda trust: trust["keys"][0].update(jwk=P256.jwk),
        lambda trust: trust["keys"].append(trust["keys"][0] | {"role": "broker"}),
        lambda trust: trust["keys"][0].update(role="manifest"),
        lambda trust: trust["keys"][0]["jwk"].update(d="private"),
        lambda trust: trust["keys"][0]["jwk"].update(kty="EC", crv="P-256", y=trust["keys"][0]["jwk"]["x"]),
        lambda trust: trust["keys"][0].update(until="9999-12-31T24:00:00.000Z"),
        lambda trust: trust.update(unknown=1),
        lambda trust: trust.pop("trust_domain"),
    ],
)
def test_an_ill_formed_or_ambiguous_trust_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    trust = json.loads(TRUST.read_bytes())
    assert standalone.Verifier(dumps(trust)).fingerprint == VERIFIER.fingerprint
    change(trust)
    with pytest.raises(ValueError):
        standalone.Verifier(dumps(trust))


@pytest.mark.parametrize(
    "other", [{"crv": "P-384"}, {"kty": "OKP"}, {"x": "AAAA"}, {"y": P256.jwk["x"]}, {"d": "private"}]
)
def test_a_key_that_is_not_all_of_one_kind_is_no_key(other: dict[str, str]) -> None:
    assert standalone._read_key(P256.jwk)[0] == (unb64url(P256.kid), "ES256")
    with pytest.raises(ValueError):
        standalone._read_key(P256.jwk | other)


def test_what_a_sender_left_out_of_a_document_counts_as_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    sign = jws.sign

    def sparing(signer: Signer, typ: str, payload: bytes) -> str:
        claims = json.loads(payload)
        if typ == MANIFEST:
            del claims["documents"][0]["authors"], claims["documents"][1]["authors"][0]["extension"]
        return sign(signer, typ, dumps(claims))

    monkeypatch.setattr(jws, "sign", sparing)
    documents = (replace(document(), authors=()), replace(document("two"), authors=(("1.2.3", ""),)))
    exchange = Exchange(documents=documents)
    data = exchange.evidence().to_bytes()
    verify(data, exchange.trust)
    assert first_broken(standalone.Verifier(exchange.trust.to_bytes()).evidence(data)) == (0, "")


@pytest.mark.parametrize(
    ("system", "categories", "broken"),
    [
        (LOINC, [ASKED], 0),
        (TRE_A04, ["class:10", ASKED], 0),
        ("1.2.3", [ASKED], 6),
        (LOINC, ["type:11488-4"], 6),
        (LOINC, ["class:42"], 6),
    ],
)
def test_a_document_is_covered_by_its_very_type(system: str, categories: list[str], broken: int) -> None:
    exchange = Exchange(documents=(replace(document(), type=Coded("57833-6", system)),))
    assert judged(exchange, query={"categories": categories})[0] == broken


@pytest.mark.parametrize("member", OTHERS, ids=lambda member: next(iter(member)))
@pytest.mark.parametrize("part", ["authorization", "outcome"])
def test_an_entry_of_evidence_carries_no_other_type_s_member(part: str, member: dict[str, Any]) -> None:
    number, why = judged(Exchange(), **{part: member})
    assert (number, why.partition(": ")[2]) == (2 if part == "authorization" else 3, "an unknown member")


@pytest.mark.parametrize(
    ("mark", "good", "bad"),
    [
        ("#", [0, 1, 2**53 - 1], [-1, True, "1", None]),
        ("^", [1, 10], [0, -1, True, "1"]),
        ("@", ["2026-02-28T23:59:59.999Z"], ["2026-02-30T23:59:59.999Z", "2026-02-28T24:00:00.000Z", "2026-02-28", 7]),
        ("%", ["0" * 64], ["0" * 63, "A" * 64, f"{'0' * 64}\n", 0]),
        ("&", [[], ["0" * 64], ["0" * 64] * 2], [["0" * 63], [0], ["0" * 64, ""], {}, "0" * 64]),
        ("!", [PINNED], [PINNED | {"more": 1}, PINNED | {"sequence": True}, PINNED | {"hash": ""}, {}, []]),
        ("/", [[CONSENT], [CONSENT] * 2], [[], [f"{CONSENT}0x"], [CONSENT[:-1] + "0"], [7], CONSENT]),
        (":", ["lease", "portal"], ["", "manifest", "leases", 7]),
        ("", ["x", "\n", "é"], ["", 7, None, [], {}]),
        ("~", ["x", ""], [7, None]),
    ],
)
def test_a_mark_says_what_a_member_may_be(mark: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert standalone.read({"name": value}, "x", f"{mark}name") == {"name": value}
    for value in bad:
        with pytest.raises(ValueError, match=r"^x: .*(name is missing or ill-formed|day is out of range)"):
            standalone.read({"name": value}, "x", f"{mark}name")


@pytest.mark.parametrize(
    "text", ["1.0", "1e2", "-0", "01", "NaN", "9007199254740992", '"\\ud800"', '{"a":1,"a":1}', '{"é":1}', "[" * 10**5]
)
def test_json_that_is_not_strict_is_refused(text: str) -> None:
    for exact in (False, True):
        with pytest.raises(ValueError, match=r"^x: "):
            standalone.read(f'{{"name":{text}}}'.encode(), "x", "*", exact=exact)


@pytest.mark.parametrize("height", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255 + 1, standalone.ORDER_8])
def test_a_point_of_small_order_is_no_key(height: int) -> None:
    with pytest.raises(ValueError, match="small order"):
        standalone._read_key({"crv": "Ed25519", "kty": "OKP", "x": b64url(height.to_bytes(32, "little"))})
