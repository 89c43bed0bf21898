"""Cosignatures that others made: live witnesses over a public log, the example of C2SP, Sunlight's test witnesses."""

from base64 import b64decode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.tlog.cosignature import CosignatureVerifier, Cosigner
from services.tlog.note import NoteError, Verifier, parse_note

REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
SMARTIT = "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO"
VKEYS = [
    REMORA,
    SMARTIT,
    "staging.witness.transparency.goog/ring-any-bells+2e1a8dc9+BG5JTpLc3FJtwzgh1Uv+Qelz9qeOH2bfWjS1s0s+y4rL",
    "rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG",
    "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
]

ARCHE = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW\
2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP\
7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEod\
kRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0\
XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN\
9DAg==
"""
"""A static-CT log's checkpoint with an RFC 6962 signature (0x05), one of its own Ed25519 key, and four cosignatures."""

SOFA = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 \
jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""

ROME = "rome2026h1.example.org\n300\ngw31yQrqZZCcEOPrzX+bpy3nJ6QgngTKn8G1m0i62uU=\n\n"
ROME_MIRROR = (
    "— mirror.example.org "
    "P7FI7wAAAABpVGeAjA1S4pJm6MbcXjX7UUImu4azZtrfcVW2uyr/LXIYlwEJzXC0N0EiZkbqfLdXt/4gVEEuGmxJjAfXKMCISpsJAg==\n"
)
ROME_TIME = 1_767_139_200
ROME_WITNESSED = """\
rome2026h1.example.org
300
lCkHUpkmVBEms2r2T1K6Og69+wUuuN3MIEW1/ezu2v0=

— rome2026h1.example.org kVB1JgAAAZtxtEwABAMARzBFAiEAi+mTa2xjL1IdWpH82OeciGsGvwRAP+f1WkfKaSZCfFECIHoNPZ/Q3y6UNzvKOO9cuLr6\
V16vPNfhwhle9f6r5H/Z
— witness.example.org uKLPIAAAAABpVGeAhm2bOvKc3LaB9PFN1ruG19Y5yqslmcAAbhftnn1Zznmo0LXFZq4LGvqKqLX8jWlwLKasxEGTLIqAVusneCB\
mBw==
"""
MILAN_WITNESSED = """\
milan2026h1.example.org
300
lCkHUpkmVBEms2r2T1K6Og69+wUuuN3MIEW1/ezu2v0=

— witness2.example.org LlW4lgAAAABpVGeAN/uFWqfjdU94rrKxFycCggM0Sa1L5tOJCJdYBwJ41CQsgKWA6B0+vywok3cPI3JIzuPeR+VotuYe/eNy0+30\
Dw==
"""


@pytest.mark.parametrize("vkey", VKEYS)
def test_a_live_witnesss_key_is_read_and_written_back(vkey: str) -> None:
    assert CosignatureVerifier.from_vkey(vkey).vkey == vkey


@pytest.mark.parametrize(
    "vkey",
    [
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f",
        "bananas.sigstore.dev+12344556",
        "rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!",
        "rekor.sigstore.dev+12345678+AwEB",
    ],
)
def test_a_published_key_that_is_no_witnesss_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        CosignatureVerifier.from_vkey(vkey)


@pytest.mark.parametrize("vkey", [REMORA, SMARTIT])
def test_a_live_witness_says_when_it_saw_a_live_logs_checkpoint(vkey: str) -> None:
    verifier = CosignatureVerifier.from_vkey(vkey)
    assert verifier.verify(ARCHE) == 0x6A122120
    for changed in (ARCHE.replace("1432088532", "1432088533"), ARCHE.replace("U7WM", "V7WM")):
        with pytest.raises(NoteError, match="does not verify"):
            verifier.verify(changed)


@pytest.mark.parametrize("vkey", VKEYS[2:])
def test_a_live_witness_that_did_not_cosign_it_says_nothing_of_it(vkey: str) -> None:
    with pytest.raises(NoteError, match="no cosignature"):
        CosignatureVerifier.from_vkey(vkey).verify(ARCHE)


def test_the_example_of_the_specification_carries_its_time_between_key_id_and_signature() -> None:
    text, (_, witness) = parse_note(SOFA)
    assert (text.count("\n"), witness.name, witness.key_id.hex()) == (3, "witness.example.com/w1", "8d66cf3f")
    assert (witness.signature[:8], len(witness.signature)) == ((1_679_315_147).to_bytes(8, "big"), 72)


def test_a_cosignature_made_by_another_implementation_is_made_again_byte_for_byte() -> None:
    """Sunlight derives its test keys from sentences; Ed25519 has no randomness."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(b"skylight test mirror key").digest())
    mirror = Cosigner("mirror.example.org", private.sign, private.public_key().public_bytes_raw())
    assert mirror.verifier.vkey == "mirror.example.org+3fb148ef+BAAjjch9GyYz0sJsJx7ALhbdAtz2ov0unbzSl1vMp94O"
    assert mirror.line(ROME + ROME_MIRROR, ROME_TIME) == ROME_MIRROR
    assert mirror.verifier.verify(ROME + ROME_MIRROR) == ROME_TIME


@pytest.mark.parametrize(
    ("vkey", "note"),
    [
        ("witness.example.org+b8a2cf20+BFLN3yikSfFkVAJtrnh/CiY3Zozkoy7clp+P7XB28qUN", ROME_WITNESSED),
        ("witness2.example.org+2e55b896+BIZ7fpceQWd60IfqQeS9IAnmNOCZjMDne8lZuguz/bi9", MILAN_WITNESSED),
    ],
)
def test_a_published_test_witness_says_when(vkey: str, note: str) -> None:
    assert CosignatureVerifier.from_vkey(vkey).verify(note) == ROME_TIME


def test_a_log_key_of_the_same_bytes_has_another_id_than_the_witnesss() -> None:
    public_key = b64decode(REMORA.rpartition("+")[2])[1:]
    assert Verifier("remora.n621.de", public_key).key_id.hex() != "da77ade7"
