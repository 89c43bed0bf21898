"""Verifies evidence files and log exports of Accord offline, as docs/formats.md says: it imports nothing of Accord.

A step is what stands between two `yield`: OK only if all of it holds and each before it; whatever is raised refuses.
Exits with 0 if all hold, 1 if one does not, 2 for bad use. Leaves to you that TRUST is right: compare its fingerprint.
"""

import argparse
import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256

# What the mark before a member's name says of its value, as canonical JSON: # count, ^ not 0, @ instant, % hash,
# & hashes, ! pin of the registry, / revisions of consents, : role, + array, = object, ~ text, none text but not empty.
HASH, REVISION = '"[0-9a-f]{64}"', '"consents/[0-9a-f]{32}/revisions/[1-9][0-9]{,8}"'
FORMS = {"#": "[0-9]+", "^": "[1-9][0-9]*", "%": HASH, "+": "\\[.*]", "=": "{.*}", "": '".+"', "~": '".*"'}
FORMS |= {"@": '"[0-9]{4}(-[0-9]{2}){2}T([01][0-9]|2[0-3])(:[0-9]{2}){2}[.][0-9]{3}Z"', "&": f"\\[({HASH}(,{HASH})*)?]"}
FORMS |= {"/": f"\\[{REVISION}(,{REVISION})*]", "!": f'{{"hash":{HASH},"sequence":[0-9]+}}'}
FORMS |= {":": '"(lease|permit|broker|portal)"'}
ENTRY = "#v type @time #shard !registry %commit actor"
NOTE = "\\A((.+/(0|[1-9][0-9]*))\n(0|[1-9][0-9]{,17})\n(.+)\n)\n((?:— [^ +\n]+ [^ \n]+\n)+)\\Z"
PROOF = "\\Ac2sp[.]org/tlog-proof@v1\nindex (0|[1-9][0-9]{,17})\n((?:[A-Za-z0-9+/=]+\n)*)\n((?s:.+))\\Z"
SYSTEMS = ("2.16.840.1.113883.6.1", "1.2.250.1.213.1.1.4.12")  # of types of documents: LOINC and TRE_A04
LIVE, FINAL = (".granted", ".amended", ".resumed"), (".revoked", ".expired", ".ended")
P, ORDER_8 = 2**255 - 19, 2707385501144840649318225287225658788936804267575313519463743609750303402022
STRICT: dict[str, Any] = {"parse_float": int, "parse_constant": int}  # and so are refused
STRICT["parse_int"] = lambda text: need(text != "-0" and abs(int(text)) < 2**53, "a number is too large", int(text))
STRICT["object_pairs_hook"] = lambda of: need(sum(map(str.isascii, dict(of))) == len(of), "a name twice", dict(of))
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode  # RFC 8785 of the above


def need(holds: object, why: str, value: Any = None) -> Any:
    """The value, only if it holds. Raises: ValueError."""
    if holds:
        return value
    raise ValueError(why)


def read(value: Any, what: str, members: str, limit: int = 1 << 20, exact: bool = True, **expected: Any) -> Any:
    """The object, parsed if it is bytes, with these members and those expected; ? may be absent, * allows any other."""
    try:
        if isinstance(value, bytes):
            need(len(value) <= limit, f"longer than {limit} bytes")
            data, value = value, json.loads(value.decode(), **STRICT)
            need(canonical(value).encode() == data or not exact, "not canonical JSON")
        known = re.findall("([?]?)([#^@%&!/:+=~]?)([^ *]+)", members)
        need("*" in members or value.keys() <= {*expected, *(name for *_, name in known)}, "an unknown member")
        for optional, mark, name in known:
            good = re.fullmatch(FORMS[mark], canonical(value.get(name)))
            need(good or (optional and name not in value), f"{name} is missing or ill-formed")
            need(mark != "@" or not good or datetime.fromisoformat(value[name]), "")
        for name, other in expected.items():
            need(canonical(value.get(name)) == canonical(other), f"another {name} than it must have")
    except (AttributeError, ValueError, RecursionError) as error:  # the first if it is no object
        raise ValueError(f"{what}: {error}") from None
    return value


def _digest(*parts: bytes | str) -> bytes:  # of 0x00 and an entry a leaf, of 0x01 and two nodes a node (RFC 9162)
    return sha256(b"".join(part.encode() if isinstance(part, str) else part for part in parts)).digest()


def _unb64(text: str, url: bool = False) -> bytes:  # or base64url without padding, each in its one spelling
    data = base64.b64decode(text + "=" * (-len(text) % 4 * url), b"-_" if url else None)
    spelt = base64.urlsafe_b64encode(data).rstrip(b"=") if url else base64.b64encode(data)
    need(spelt.decode() == text, "not base64 in its one spelling")
    return data


def _read_key(jwk: Any) -> tuple[tuple[bytes, str], Any]:  # what a token's header says of it (kid, alg), and the key
    kid, kind = _digest(canonical(jwk)), (read(jwk, "jwk", "kty crv x ?y")["kty"], jwk["crv"])
    x, y = (_unb64(jwk.get(name, ""), url=True) for name in "xy")
    if (*kind, len(x), "y" in jwk) == ("OKP", "Ed25519", 32, False):
        # The library takes points of small order, under which one signature is good for any message.
        height = int.from_bytes(x, "little") % 2**255 % P
        need(height not in (0, 1, P - 1, ORDER_8, P - ORDER_8), "jwk: a point of small order")
        return (kid, "EdDSA"), ed25519.Ed25519PublicKey.from_public_bytes(x)
    need((*kind, len(x), len(y)) == ("EC", "P-256", 32, 32), "jwk: neither an Ed25519 nor a P-256 key")
    return (kid, "ES256"), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + x + y)


def opened(file: Any, name: str, keys: list[Any], at: str, members: str, **expected: Any) -> Any:
    """The claims of this token of the file, by a key for it that was good `at` this instant, or else at its `iat`."""
    (header, payload, seal), kind = (_unb64(part, url=True) for part in file[name].split(".")), name.replace("_", "-")
    head = read(header, f"{kind}'s header", "alg kid", exact=False, typ=f"accord-{kind}+jws")
    claims, signed = read(payload, kind, members, exact=False, **expected), file[name].rpartition(".")[0].encode()
    at = at or f"{datetime.fromtimestamp(claims['iat'], UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    good = {kid: key for role, kid, key, start, end in keys if name.startswith(role) and start <= at < end}
    key: Any = good.get((_unb64(head["kid"], url=True), head["alg"]))
    need(key and len(file[name]) <= 65_536 and len(seal) == 64, f"{kind}: by an unknown key, or too long")
    der = utils.encode_dss_signature(*map(int.from_bytes, (seal[:32], seal[32:])))
    key.verify(*([seal, signed] if head["alg"] == "EdDSA" else [der, signed, ec.ECDSA(SHA256())]))
    return claims


def _root(data: bytes, index: int, size: int, path: list[bytes]) -> bytes:  # RFC 9162 §2.1.3.1
    need(0 <= index < size and bool(path) == (size > 1), "proof: of no such leaf, or of another length")
    if size == 1:
        return _digest(b"\0", data)
    if index < (half := 1 << (size - 1).bit_length() - 1):
        return _digest(b"\1", _root(data, index, half, path[:-1]), path[-1])
    return _digest(b"\1", path[-1], _root(data, index - half, size - half, path[:-1]))


class Verifier:
    """Verifies with what it was told beforehand, TRUST: a domain, each log's key by its origin, dated keys by role."""

    def __init__(self, data: bytes) -> None:
        trust = read(data, "TRUST", "trust_domain ?+logs ?+keys ?+register", exact=False, format="accord-trust/v1")
        self.domain, self.fingerprint = trust["trust_domain"], _digest(canonical(trust)).hex()
        logs = [vkey.split("+", 2) for vkey in trust.get("logs", [])]
        self.logs = {origin: (_digest(origin, "\n", _unb64(key))[:4], _unb64(key)) for origin, _, key in logs}
        named = [[origin, key_id.hex(), raw[:1], len(raw)] for origin, (key_id, raw) in self.logs.items()]
        need(named == [[origin, key_id, b"\1", 33] for origin, key_id, _ in logs], "TRUST: a log twice, or no key")
        dated = [read(key, "TRUST's key", ":role =jwk @from @until") for key in trust.get("keys", [])]
        self.keys = [(key["role"], *_read_key(key["jwk"]), key["from"], key["until"]) for key in dated]
        roles = {kid: role for role, (kid, alg), *_ in self.keys if alg == "EdDSA"}
        need(all(roles.get(kid) == role for role, (kid, _), *_ in self.keys), "TRUST: a key in two roles, or of P-256")

    def _checkpoint(self, note: str, log: str = "") -> tuple[str, int, int, bytes]:  # signed by this log, or one alone
        [(text, origin, shard, size, root, block)] = re.findall(NOTE, note)
        named = origin in self.logs and log in ("", origin)
        key_id, raw = need(named, "checkpoint: of another log, or of one not in TRUST", self.logs.get(origin))
        lines = map(_unb64, re.findall(f"— {re.escape(origin)} (.+)\n", block))
        own = [line[4:] for line in lines if line[:4] == key_id]
        need(own and (log or block.count("\n") == 1), "checkpoint: not signed by its log, or by others too")
        for signature in own:
            ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signature, text.encode())
        return origin, int(shard), int(size), _unb64(root)

    def _logged(self, part: Any, kind: str, members: str, **more: Any) -> tuple[Any, ...]:  # and its body, place, tree
        read(part, "logged entry", "entry body proof salt")
        [(index, path, note)] = re.findall(PROOF, part["proof"])
        origin, shard, size, root = self._checkpoint(note)
        data, body, salt = part["entry"].encode(), part["body"].encode(), _unb64(part["salt"], url=True)
        members = f"{ENTRY} ?%subject service counterparty %exchange {members}"
        entry = read(data, f"exchange.{kind}", members, 65_535, v=1, type=f"exchange.{kind}", shard=shard, **more)
        need(_root(data, int(index), size, [*map(_unb64, path.split())]) == root, "proof: it leads to another root")
        need(len(salt) == 32 and _digest(salt, body).hex() == entry["commit"], "body: not what its entry commits to")
        place = {"origin": origin, "index": int(index), "jti": _digest(b"\0", data).hex()}
        return entry, read(body, "body", "*"), place, (size, root)

    def evidence(self, data: bytes) -> Iterator[str]:
        """The ten steps of § Evidence: here what the logs and the registry say."""
        yield "the file is canonical and of a known version"
        parts = "manifest permit broker_manifest acknowledgement lease =authorization =outcome =sender =recipient"
        file = read(data, "evidence", parts, 4 << 20, format="accord-evidence/v1")
        yield "the log holds the authorisation"
        entry, body, at, tree = self._logged(file["authorization"], "authorized", "?/resources basis @until ^attempt")
        yield "the log holds its outcome, after it"
        ended, told, then, later = self._logged(file["outcome"], "outcome", "=outcome", exchange=entry["exchange"])
        read(ended["outcome"], "outcome", "#bytes ?@first ?@last", authorization=at["index"], result="DELIVERED")
        need(at["index"] < then["index"] and entry["time"] <= ended["time"], "outcome: not after its authorisation")
        need(at["origin"] == then["origin"] and (tree == later or tree[0] != later[0]), "outcome: in another history")
        yield "the registry signed the lease, no older than the entries"
        lease = opened(file, "lease", self.keys, "", "#sequence %snapshot #size #iat #max_age", iss=self.domain)
        need(0 < lease["max_age"] <= 30, "lease: max_age is not 1 to 30")
        for pin in (entry["registry"], ended["registry"]):
            same = pin == {"sequence": lease["sequence"], "hash": lease["snapshot"]}
            need(same or pin["sequence"] < lease["sequence"], "lease: older than an entry, or contradicts it")
        yield "the lease holds sender and recipient"
        members, keys = "organization oid status spiffe_id ~endpoint =convention ?+keys", [*self.keys]
        parties = {"sender": ("manifest", entry["service"]), "recipient": ("acknowledgement", entry["counterparty"])}
        for part, (token, name) in parties.items():
            leased = read(file[part], part, "record #index ?&hashes")
            data, path = leased["record"].encode(), [bytes.fromhex(item) for item in leased.get("hashes", [])]
            leads = _root(data, leased["index"], lease["size"], path).hex() == lease["snapshot"]
            record = read(need(leads, "proof: it leads to another root", data), part, members, 262_144, name=name)
            keys += [(token, *_read_key(key), "", "~") for key in record.get("keys", [])]
        yield from self._tokens(file, keys, entry, body["query"], at, ended["outcome"]["bytes"], told)

    def _tokens(self, file: Any, keys: Any, entry: Any, query: Any, place: Any, size: int, told: Any) -> Iterator[str]:
        yield "the sender signed the manifest of this exchange"
        asked = read(query, "query", "purpose ?+categories *", direction="DEPOSIT").get("categories", [])
        sha = {name: _digest(token).hex() for name, token in file.items() if isinstance(token, str)}
        at, exchange, by, to = (entry[name] for name in ("time", "exchange", "service", "counterparty"))
        said = {"iss": by, "aud": self.domain, "recipient": to, "purpose": query["purpose"]}
        manifest = opened(file, "manifest", keys, at, "jti #iat #exp patient ?+documents", **said)
        need(sha["manifest"] == exchange, "manifest: of another exchange")
        need(0 < manifest["exp"] - manifest["iat"] <= 3600, "manifest: exp is not within an hour")
        need(1 <= len(documents := manifest.get("documents", [])) <= 64, "manifest: not 1 to 64 documents")
        for document in documents:
            read(document, "document", "=type #size %sha256 ?+authors", format="cda-r2").setdefault("authors", [])
            for author in document["authors"]:
                read(author, "author", "root ?~extension").setdefault("extension", "")
            code = read(document["type"], "type", "code system")
            need(code["system"] in SYSTEMS and f"type:{code['code']}" in asked, "manifest: of a type not asked for")
        yield "the ledger signed the permit for this authorisation"
        said = {"iss": self.domain, "aud": to, "sender": by, "exchange": exchange, "purpose": query["purpose"]}
        permit = opened(file, "permit", keys, at, "%sub #iat #exp =cnf", **said, **place)
        need(0 < permit["exp"] - permit["iat"] <= 5, "permit: exp is not within 5 seconds")
        need(datetime.fromisoformat(entry["until"]).timestamp() == permit["exp"], "permit: its end is not the entry's")
        yield "the broker countersigned the same documents"
        said |= {"documents": documents, "permit_sha256": sha["permit"]}
        opened(file, "broker_manifest", keys, at, "#iat", **said)
        yield "the recipient acknowledged every document"
        said = {"iss": to, "aud": self.domain, "exchange": exchange, "manifest_sha256": sha["broker_manifest"]}
        opened(file, "acknowledgement", keys, at, "#iat", documents=[each["sha256"] for each in documents], **said)
        yield "the outcome records this acknowledgement"
        read(told, "body", "*", acknowledgement_sha256=sha["acknowledgement"], manifest_sha256=sha["broker_manifest"])
        need(size == sum(document["size"] for document in documents), "outcome: another number of bytes than declared")

    def export(self, folder: Path, data: bytes) -> Iterator[str]:
        """The steps of an export: its list of logs, and five for each log."""
        yield "the export lists logs of TRUST, in order of shard"
        logs = read(data, "export.json", "+logs", format="accord-export/v1")["logs"]
        need(0 < len(logs) == len({*logs} & self.logs.keys()), "export.json: no log, one twice, or one not of TRUST")
        need(logs == sorted(logs, key=lambda origin: int(origin.rpartition("/")[2])), "export.json: out of order")
        for number, origin in enumerate(logs):
            at, entries = folder / str(number), []
            yield f"{origin}: it signed the checkpoint"
            _, shard, size, root = self._checkpoint((at / "checkpoint").read_bytes().decode(), origin)
            yield f"{origin}: each entry is canonical, of its shard and not older than the one before"
            lines = (at / "entries.ndjson").read_bytes().split(b"\n")
            need(len(lines) == size + 1 and not lines.pop(), "entries.ndjson: not one line for each entry")
            for index, line in enumerate(lines):
                what, members = f"entry {index}", f"{ENTRY} ?basis ?/resources ?@until *"
                entries.append(read(line, what, members, 65_535, v=1, shard=shard))
                need(entries[max(0, index - 1)]["time"] <= entries[index]["time"], f"{what}: older than the one before")
            yield f"{origin}: the tiles hold these entries and their hashes, which lead to the root of the checkpoint"
            need(_tiled(at, lines) == root, "checkpoint: another root")
            yield f"{origin}: the openings open what the entries commit to"
            file, left = at / "openings.ndjson", iter(enumerate(entries))
            for line in file.read_bytes().splitlines(keepends=True) if file.exists() else ():
                opening = read(line[:-1], "opening", "#index %salt =body ?%facts_salt ?=facts", 4 << 20)
                why = f"opening of entry {opening['index']}"
                commit = next((entry["commit"] for index, entry in left if index == opening["index"]), None)
                made = _digest(bytes.fromhex(opening["salt"]), canonical(opening["body"])).hex()
                need(made == commit and line.endswith(b"\n"), f"{why}: not what it commits to, or out of order")
                if opening.keys() & {"facts", "facts_salt"}:
                    made = _digest(bytes.fromhex(opening["facts_salt"]), canonical(opening["facts"])).hex()
                    need(made == opening["body"].get("facts"), f"{why}: other facts than its body's")
            yield f"{origin}: no authorisation rests on a consent that an earlier entry ended"
            _check_promise(entries)


def _tiled(folder: Path, entries: list[bytes]) -> bytes:  # the root over these entries, if the C2SP tiles hold them
    rows, root = {"entries": [len(entry).to_bytes(2) + entry for entry in entries]}, b""
    row = [_digest(b"\0", entry) for entry in entries]
    for level in range(64):
        if level % 8 == 0:
            rows[str(level // 8)] = row
        if len(row) % 2:
            root = _digest(b"\1", row[-1], root) if root else row[-1]
        row = [_digest(b"\1", *pair) for pair in zip(row[::2], row[1::2], strict=False)]
    for name, start in [(name, start) for name, row in rows.items() for start in range(0, len(row), 256)]:
        number, part = str(start // 256), rows[name][start : start + 256]
        path = re.sub("([0-9]{3})(?=[0-9])", r"x\1/", number.zfill((len(number) + 2) // 3 * 3))
        file = folder / "tile" / name / (path if len(part) == 256 else f"{path}.p/{len(part)}")
        need(file.read_bytes() == b"".join(part), f"tile {name}, {start}: not what the entries make it")
    return root or _digest()


def _check_promise(entries: list[Any]) -> None:  # each side rests on the newest revision of its own consent, standing
    newest: dict[str, Any] = {}
    for index, entry in enumerate(entries):
        why, rests = f"entry {index}, {entry['type']}", entry["type"] == "exchange.authorized"
        own, other = [entry.get("service", ""), entry.get("subject", "")], entry.get("counterparty", "")
        names = entry.get("resources", []) if rests or entry["type"].startswith("consent.") else []
        need(not rests or len(names) == 1 + bool(other), f"{why}: not one consent for each side")
        for side, name in enumerate(names):
            last, state, until, maker, *of = newest.get(name[:41], (f"{name[:52]}0", "", "", "nothing", "", ""))
            if rests:
                good = last == name and entry["time"] < until and entry["until"] <= f"{until[:19]}.000Z"
                good = good and (of[0] == other if side else of == own)
            else:
                good = int(last[52:]) < int(name[52:]) and not state.endswith(FINAL)
                until = entry.get("until", "") * entry["type"].endswith(LIVE)
                newest[name[:41]] = name, entry["type"], until, why, *own
            need(good, f"{why}: {name} after {maker}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Verifies evidence and log exports of Accord, offline.")
    parser.add_argument("kind", choices=("evidence", "export"))
    parser.add_argument("path", type=Path, help="the evidence file, or the folder of the export")
    parser.add_argument("--trust", type=Path, required=True, help="the TRUST file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    done: list[dict[str, Any]] = []
    try:
        verifier = Verifier(given.trust.read_bytes())
        data = (given.path / ("export.json" if given.kind == "export" else "")).read_bytes()
        for title in verifier.evidence(data) if given.kind == "evidence" else verifier.export(given.path, data):
            done.append({"step": len(done) + 1, "title": title, "ok": True})
    except Exception as error:  # whatever it is, the step does not hold
        if not done:
            parser.error(f"{type(error).__name__}: {error}")
        done[-1] |= {"ok": False, "why": str(error) or type(error).__name__}
    lines = [f"{'OK  ' if step['ok'] else 'FAIL'} {step['step']:2} {step['title']}" for step in done]
    text = "\n".join([f"TRUST {verifier.fingerprint}", *lines, done[-1].get("why", "verified")])
    print(json.dumps({"ok": done[-1]["ok"], "trust": verifier.fingerprint, "steps": done}) if given.json else text)
    raise SystemExit(0 if done[-1]["ok"] else 1)
