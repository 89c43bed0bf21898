"""The facts of a decision as the ledger keeps them, and back: what `decide` received, so that anyone can decide again.

Beside the body's `query`, the facts hold profile, parties and documents. A party's service is kept by the leaf hash of its
registry record: the record itself stands once, beside the log, and is proven by the snapshot that the entry pins.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from services.consent.domain import decision as d
from services.consent.domain.facts import standing_of
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import Limits
from services.consent.domain.values import Query
from services.formats.canonical import HEX_32, FormatError, Members
from services.formats.entry import REVISION
from services.formats.lease import ServiceRecord
from services.formats.rights import CATEGORY, SERVICE_NAME, Basis, Direction, Purpose, Scope
from services.formats.times import instant_of, text_of

RecordOf = Callable[[str], ServiceRecord | None]
"""The registry record of a leaf hash (hexadecimal); None for the hash of none."""


def query_json(query: Query) -> dict[str, Any]:
    """What was asked, without the patient: members that say nothing are absent."""
    members = {
        "categories": sorted(query.categories),
        "counterparty": query.counterparty,
        "direction": query.direction.value,
        "purpose": query.purpose.value,
        "service": query.service,
        "labels": sorted(query.labels),
        "data_from": _text(query.data_from_ms),
        "data_until": _text(query.data_until_ms),
        "basis": "" if query.basis is Basis.CONSENT else query.basis.value,
    }
    always = ("categories", "counterparty", "direction", "purpose", "service")
    return {name: value for name, value in members.items() if value or name in always}


def facts_json(facts: d.Facts, record_hashes: dict[str, str]) -> dict[str, Any]:
    """What the decision rested on; `record_hashes` are the leaf hashes of the services' records, by service."""
    return {
        "profile": facts.profile.value if facts.profile else "",
        "parties": [_party_json(party, record_hashes.get(party.service, "")) for party in facts.parties],
        "documents_match": list(facts.documents_match),
    }


def _party_json(party: d.Party, record: str) -> dict[str, Any]:
    return {
        "service": party.service,
        "direction": party.direction.value,
        "paired": party.paired,
        "record": record,
        "consents": [_consent_json(item) for item in party.consents],
    }


def _consent_json(fact: d.ConsentFact) -> dict[str, Any]:
    members: dict[str, Any] = {
        "revision": fact.revision,
        "state": fact.state.value,
        "start": text_of(fact.start_ms),
        "end": text_of(fact.end_ms),
        "scope": _scope_json(fact.scope),
    }
    limits = _limits_json(fact.limits)
    members |= {"limits": limits} if limits else {}
    return members | ({"used": fact.used, "counted": fact.counted} if fact.limits.quota else {})


@lru_cache(maxsize=4096)
def _scope_json(scope: Scope) -> dict[str, Any]:
    return scope.to_json()  # there are few of them, and millions of decisions


@lru_cache(maxsize=4096)
def _limits_json(limits: Limits) -> dict[str, Any]:
    return limits.to_json()


def read_facts(query: Members, facts: Members, record_of: RecordOf) -> d.Facts:
    """The facts that these two objects state. Raises: FormatError; LookupError for a record that is not to be had."""
    profile = facts.text("profile", default="")
    try:
        read = d.Facts(
            profile=ProfileStatus(profile) if profile else None,
            parties=facts.items("parties", lambda item, what: _read_party(Members(item, what), record_of)),
            documents_match=facts.items("documents_match", _read_boolean),
            purpose=Purpose(query.text("purpose")),
            categories=frozenset(query.texts("categories", CATEGORY)),
            labels=frozenset(query.texts("labels")),
            data_from_ms=_instant(query, "data_from"),
            data_until_ms=_instant(query, "data_until"),
            basis=Basis(query.text("basis", default="") or Basis.CONSENT.value),
        )
    except ValueError as error:
        raise error if isinstance(error, FormatError) else FormatError("facts hold an unknown word") from None
    facts.done()
    return read


def _read_party(members: Members, record_of: RecordOf) -> d.Party:
    record = record_of(members.text("record", HEX_32, default=""))
    party = d.Party(
        service=members.text("service", SERVICE_NAME),
        direction=Direction(members.text("direction")),
        standing=standing_of(record),
        paired=members.boolean("paired"),
        consents=members.items("consents", lambda item, what: _read_consent(Members(item, what))),
    )
    members.done()
    return party


def _read_consent(members: Members) -> d.ConsentFact:
    scope = members.object("scope")
    fact = d.ConsentFact(
        revision=members.text("revision", REVISION),
        state=ConsentState(members.text("state")),
        scope=Scope.read(scope),
        start_ms=instant_of(members.text("start")),
        end_ms=instant_of(members.text("end")),
        limits=Limits.read(members.object("limits")) if members.has("limits") else Limits(),
        used=members.integer("used", default=0),
        counted=members.boolean("counted") if members.has("counted") else False,
    )
    scope.done()
    members.done()
    return fact


def _read_boolean(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise FormatError(f"{what} is not true or false")
    return value


def _text(instant_ms: int | None) -> str:
    return text_of(instant_ms) if instant_ms is not None else ""


def _instant(members: Members, name: str) -> int | None:
    text = members.text(name, default="")
    return instant_of(text) if text else None
