"""The vocabulary of failures: each reason, its kind, its words in French and English, and what to do next.

Pure: knows no transport. `chassis.status` maps a kind to a gRPC code and an error to `google.rpc.ErrorInfo`
(AIP-193). `protos/accord/errors/v1/error_reason.proto` publishes the same names; a test keeps the two equal.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Kind(Enum):
    """What sort of failure this is, whatever its reason."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not found"
    EXISTS = "exists"
    PRECONDITION = "precondition"
    ABORTED = "aborted"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    UNIMPLEMENTED = "unimplemented"
    DATA_LOSS = "data loss"
    INTERNAL = "internal"


class Reason(StrEnum):
    """Why a request failed or was refused; stable names, never reused for another meaning."""

    # The request itself
    FIELD_INVALID = "FIELD_INVALID"
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    DEADLINE_INVALID = "DEADLINE_INVALID"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    STATE_CONFLICT = "STATE_CONFLICT"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    REQUEST_EXPIRED = "REQUEST_EXPIRED"
    NOT_YET_CONSISTENT = "NOT_YET_CONSISTENT"
    METHOD_UNKNOWN = "METHOD_UNKNOWN"
    # The caller
    IDENTITY_INVALID = "IDENTITY_INVALID"
    RPC_NOT_ALLOWED = "RPC_NOT_ALLOWED"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    ASSERTION_INVALID = "ASSERTION_INVALID"
    # The decision
    NOT_PERMITTED = "NOT_PERMITTED"
    PROFILE_NOT_OPEN = "PROFILE_NOT_OPEN"
    PROFILE_SUSPENDED = "PROFILE_SUSPENDED"
    BASIS_NOT_ALLOWED = "BASIS_NOT_ALLOWED"
    SERVICE_NOT_REFERENCED = "SERVICE_NOT_REFERENCED"
    SERVICE_SUSPENDED = "SERVICE_SUSPENDED"
    CONVENTION_NOT_IN_FORCE = "CONVENTION_NOT_IN_FORCE"
    CONVENTION_EXCEEDED = "CONVENTION_EXCEEDED"
    CONSENT_MISSING = "CONSENT_MISSING"
    CONSENT_NOT_YET_VALID = "CONSENT_NOT_YET_VALID"
    CONSENT_EXPIRED = "CONSENT_EXPIRED"
    CONSENT_REVOKED = "CONSENT_REVOKED"
    CONSENT_SUSPENDED = "CONSENT_SUSPENDED"
    CONSENT_ENDED = "CONSENT_ENDED"
    EXPLICITLY_DENIED = "EXPLICITLY_DENIED"
    DIRECTION_NOT_GRANTED = "DIRECTION_NOT_GRANTED"
    PURPOSE_NOT_GRANTED = "PURPOSE_NOT_GRANTED"
    CATEGORY_NOT_GRANTED = "CATEGORY_NOT_GRANTED"
    DATA_EXCLUDED = "DATA_EXCLUDED"
    LABEL_EXCLUDED = "LABEL_EXCLUDED"
    DATA_PERIOD_NOT_GRANTED = "DATA_PERIOD_NOT_GRANTED"
    QUOTA_EXHAUSTED = "QUOTA_EXHAUSTED"
    RECIPIENT_NOT_PERMITTED = "RECIPIENT_NOT_PERMITTED"
    INS_NOT_ALLOWED = "INS_NOT_ALLOWED"
    # The document
    PATIENT_MISMATCH = "PATIENT_MISMATCH"
    PATIENT_AMBIGUOUS = "PATIENT_AMBIGUOUS"
    INS_MISSING = "INS_MISSING"
    INS_INVALID = "INS_INVALID"
    INS_TEST_REFUSED = "INS_TEST_REFUSED"
    DOCUMENT_MALFORMED = "DOCUMENT_MALFORMED"
    DOCUMENT_UNSAFE = "DOCUMENT_UNSAFE"
    DOCUMENT_TYPE_UNKNOWN = "DOCUMENT_TYPE_UNKNOWN"
    DOCUMENT_TYPE_MISMATCH = "DOCUMENT_TYPE_MISMATCH"
    AUTHOR_MISMATCH = "AUTHOR_MISMATCH"
    AUTHOR_INVALID = "AUTHOR_INVALID"
    # The bundle
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_EXPIRED = "MANIFEST_EXPIRED"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    BUNDLE_TOO_LARGE = "BUNDLE_TOO_LARGE"
    EXCHANGE_IN_PROGRESS = "EXCHANGE_IN_PROGRESS"
    # The exchange
    RECIPIENT_UNREACHABLE = "RECIPIENT_UNREACHABLE"
    RECIPIENT_REFUSED = "RECIPIENT_REFUSED"
    ACKNOWLEDGEMENT_INVALID = "ACKNOWLEDGEMENT_INVALID"
    PERMIT_EXPIRED = "PERMIT_EXPIRED"
    # The platform
    REGISTRY_STALE = "REGISTRY_STALE"
    LEDGER_UNAVAILABLE = "LEDGER_UNAVAILABLE"
    LEDGER_ROLLED_BACK = "LEDGER_ROLLED_BACK"
    CLOCK_BEHIND = "CLOCK_BEHIND"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means: its kind, one sentence in English and in French, and who does what next."""

    kind: Kind
    english: str
    french: str
    remedy: str


def _m(kind: Kind, english: str, french: str, remedy: str) -> Meaning:
    return Meaning(kind, english, french, remedy)


R, K = Reason, Kind
MEANINGS: dict[Reason, Meaning] = {
    R.FIELD_INVALID: _m(K.INVALID, "A field is invalid.", "Un champ est invalide.", "Correct the fields listed in BadRequest."),
    R.MESSAGE_MALFORMED: _m(K.INVALID, "The message is malformed.", "Le message est mal formé.", "Send one message, each field once, no unknown field."),
    R.DEADLINE_INVALID: _m(K.INVALID, "The call needs a deadline.", "L'appel doit porter une échéance.", "Set a deadline on the call."),
    R.RESOURCE_NOT_FOUND: _m(K.NOT_FOUND, "No such resource.", "Ressource introuvable.", "Check the name."),
    R.REQUEST_ID_REUSED: _m(K.EXISTS, "This request id was used with another body.", "Cet identifiant de requête a servi pour un autre contenu.", "Draw a new request id."),
    R.STATE_CONFLICT: _m(K.PRECONDITION, "The resource's state does not allow this.", "L'état de la ressource ne le permet pas.", "Read the resource again."),
    R.ETAG_MISMATCH: _m(K.ABORTED, "The resource changed meanwhile.", "La ressource a changé entre-temps.", "Read it again and retry."),
    R.REQUEST_EXPIRED: _m(K.PRECONDITION, "The consent request has expired.", "La demande de consentement a expiré.", "The service asks again."),
    R.NOT_YET_CONSISTENT: _m(K.UNAVAILABLE, "The ledger read has not reached this token yet.", "Le registre lu n'a pas encore atteint ce jeton.", "Retry, or ask for a fully consistent answer."),
    R.METHOD_UNKNOWN: _m(K.UNIMPLEMENTED, "No such method.", "Méthode inconnue.", "Check the method's full name."),
    R.IDENTITY_INVALID: _m(K.UNAUTHENTICATED, "The certificate names no acceptable identity.", "Le certificat ne porte pas d'identité recevable.", "Use a leaf with exactly one SPIFFE URI SAN."),
    R.RPC_NOT_ALLOWED: _m(K.DENIED, "This identity may not call this method.", "Cette identité ne peut pas appeler cette méthode.", "Ask the operator for the role."),
    R.SIGNATURE_INVALID: _m(K.UNAUTHENTICATED, "The signature does not verify.", "La signature n'est pas valide.", "Sign with the key the registry holds."),
    R.ASSERTION_INVALID: _m(K.UNAUTHENTICATED, "The portal's assertion does not verify, or says something else.", "L'attestation du portail n'est pas valable, ou dit autre chose.", "Sign exactly what is asked, with the portal's key of TRUST."),
    R.NOT_PERMITTED: _m(K.DENIED, "Not permitted.", "Non autorisé.", "Pair with the patient and ask for consent."),
    R.PROFILE_NOT_OPEN: _m(K.DENIED, "The profile is not open.", "L'espace santé n'est pas ouvert.", "The patient may reopen it."),
    R.PROFILE_SUSPENDED: _m(K.DENIED, "The platform has suspended the profile.", "L'espace santé est suspendu.", "The patient contacts the platform."),
    R.BASIS_NOT_ALLOWED: _m(K.DENIED, "A referenced service may rest on consent only.", "Un service référencé ne peut se fonder que sur le consentement.", "Ask for the patient's consent."),
    R.SERVICE_NOT_REFERENCED: _m(K.DENIED, "The service is not referenced with exchange.", "Le service n'est pas référencé avec échange.", "The editor completes the referencing."),
    R.SERVICE_SUSPENDED: _m(K.DENIED, "The service is suspended.", "Le service est suspendu.", "The editor contacts the registrar."),
    R.CONVENTION_NOT_IN_FORCE: _m(K.DENIED, "The convention is not in force.", "La convention n'est pas en vigueur.", "The editor renews the convention."),
    R.CONVENTION_EXCEEDED: _m(K.DENIED, "The convention does not cover this.", "La convention ne couvre pas cette demande.", "Stay within the convention or have it amended."),
    R.CONSENT_MISSING: _m(K.DENIED, "The patient has given no consent.", "Le patient n'a pas donné de consentement.", "Ask the patient."),
    R.CONSENT_NOT_YET_VALID: _m(K.DENIED, "The consent is not valid yet.", "Le consentement n'est pas encore valable.", "Wait until it starts."),
    R.CONSENT_EXPIRED: _m(K.DENIED, "The consent has expired.", "Le consentement a expiré.", "Ask the patient again."),
    R.CONSENT_REVOKED: _m(K.DENIED, "The patient has withdrawn the consent.", "Le patient a retiré son consentement.", "Stop; ask the patient only if they wish."),
    R.CONSENT_SUSPENDED: _m(K.DENIED, "The consent is suspended.", "Le consentement est suspendu.", "Wait until it is resumed or confirmed."),
    R.CONSENT_ENDED: _m(K.DENIED, "The consent ended with the profile.", "Le consentement a pris fin avec l'espace santé.", "Ask the patient again."),
    R.EXPLICITLY_DENIED: _m(K.DENIED, "The patient has refused this explicitly.", "Le patient s'y est opposé expressément.", "Stop; ask the patient only if they wish."),
    R.DIRECTION_NOT_GRANTED: _m(K.DENIED, "The consent does not cover this direction.", "Le consentement ne couvre pas ce sens d'échange.", "Ask the patient for this direction."),
    R.PURPOSE_NOT_GRANTED: _m(K.DENIED, "The consent does not cover this purpose.", "Le consentement ne couvre pas cette finalité.", "Ask the patient for this purpose."),
    R.CATEGORY_NOT_GRANTED: _m(K.DENIED, "The consent does not cover this category of data.", "Le consentement ne couvre pas cette catégorie de données.", "Ask the patient for this category."),
    R.DATA_EXCLUDED: _m(K.DENIED, "The consent excludes this type of document.", "Le consentement exclut ce type de document.", "Leave this document out."),
    R.LABEL_EXCLUDED: _m(K.DENIED, "A document's confidentiality excludes it.", "La confidentialité d'un document l'exclut.", "Leave this document out."),
    R.DATA_PERIOD_NOT_GRANTED: _m(K.DENIED, "The consent does not cover data of these dates.", "Le consentement ne couvre pas les données de ces dates.", "Send only data of the period granted, and give its dates."),
    R.QUOTA_EXHAUSTED: _m(K.DENIED, "The number of exchanges consented to is used up.", "Le nombre d'échanges consentis est épuisé.", "Wait for the next period, or ask the patient."),
    R.RECIPIENT_NOT_PERMITTED: _m(K.DENIED, "The recipient may not receive this.", "Le destinataire ne peut pas recevoir ces données.", "The recipient asks the patient for consent."),
    R.INS_NOT_ALLOWED: _m(K.DENIED, "The recipient's convention allows no document that carries an INS.", "La convention du destinataire n'autorise pas de document portant l'INS.", "The recipient has its convention amended."),
    R.PATIENT_MISMATCH: _m(K.INVALID, "A document belongs to another patient.", "Un document concerne un autre patient.", "Send only this patient's documents."),
    R.PATIENT_AMBIGUOUS: _m(K.INVALID, "A document does not name exactly one patient where it must.", "Un document ne désigne pas exactement un patient.", "Keep one recordTarget, in the header."),
    R.INS_MISSING: _m(K.INVALID, "A document names no INS.", "Un document ne porte pas d'INS.", "Qualify the patient's identity."),
    R.INS_INVALID: _m(K.INVALID, "A document's INS has a wrong form or key.", "L'INS d'un document a une forme ou une clé fausse.", "Correct the INS."),
    R.INS_TEST_REFUSED: _m(K.INVALID, "A test INS is refused here.", "Un INS de test est refusé ici.", "Use a real INS, or a test platform."),
    R.DOCUMENT_MALFORMED: _m(K.INVALID, "A document is not a readable CDA R2 document.", "Un document n'est pas un CDA R2 lisible.", "Send a well-formed ClinicalDocument."),
    R.DOCUMENT_UNSAFE: _m(K.INVALID, "A document holds what is never parsed here (DTD, entity, excessive size or depth).", "Un document contient ce qui n'est jamais analysé ici (DTD, entité, taille ou profondeur excessive).", "Remove it."),
    R.DOCUMENT_TYPE_UNKNOWN: _m(K.INVALID, "A document's type has no class.", "Le type d'un document n'a pas de classe.", "Use a type of the nomenclature."),
    R.DOCUMENT_TYPE_MISMATCH: _m(K.INVALID, "The declared type is not the document's own.", "Le type déclaré n'est pas celui du document.", "Declare the type in the document's header."),
    R.AUTHOR_MISMATCH: _m(K.INVALID, "The declared authors are not the document's own.", "Les auteurs déclarés ne sont pas ceux du document.", "Declare the authors in the document's header."),
    R.AUTHOR_INVALID: _m(K.INVALID, "An author's identifier is invalid.", "L'identifiant d'un auteur est invalide.", "Correct the identifier."),
    R.MANIFEST_INVALID: _m(K.INVALID, "The manifest is not as docs/formats.md describes.", "Le manifeste n'est pas conforme.", "Correct the manifest."),
    R.MANIFEST_EXPIRED: _m(K.INVALID, "The manifest has expired or is from the future.", "Le manifeste a expiré ou vient du futur.", "Sign a new one; check the clock."),
    R.DIGEST_MISMATCH: _m(K.INVALID, "A document's bytes are not those the manifest names.", "Les octets d'un document ne sont pas ceux du manifeste.", "Send the bytes that were signed."),
    R.BUNDLE_TOO_LARGE: _m(K.INVALID, "The bundle, a document or a chunk is too large.", "Le lot, un document ou un bloc est trop volumineux.", "Stay within the limits of docs/formats.md."),
    R.EXCHANGE_IN_PROGRESS: _m(K.ABORTED, "This exchange is under way.", "Cet échange est en cours.", "Retry the same manifest later."),
    R.RECIPIENT_UNREACHABLE: _m(K.UNAVAILABLE, "The recipient cannot be reached.", "Le destinataire est injoignable.", "Retry later with a new manifest."),
    R.RECIPIENT_REFUSED: _m(K.PRECONDITION, "The recipient refused the bundle.", "Le destinataire a refusé le lot.", "Contact the recipient."),
    R.ACKNOWLEDGEMENT_INVALID: _m(K.DATA_LOSS, "The recipient's acknowledgement does not match what was sent.", "L'accusé du destinataire ne correspond pas à l'envoi.", "The operator examines the disputed exchange."),
    R.PERMIT_EXPIRED: _m(K.ABORTED, "The permit ended before the bundle was delivered.", "Le permis a pris fin avant la remise du lot.", "Retry with a new manifest."),
    R.REGISTRY_STALE: _m(K.UNAVAILABLE, "The registry lease is too old.", "Le bail du registre est trop ancien.", "Retry; the operator checks the registry."),
    R.LEDGER_UNAVAILABLE: _m(K.UNAVAILABLE, "The ledger cannot record this now.", "Le registre des consentements ne peut pas l'inscrire.", "Retry later."),
    R.LEDGER_ROLLED_BACK: _m(K.UNAVAILABLE, "The ledger shows less than it showed before.", "Le registre des consentements montre moins qu'auparavant.", "Stop; the operator investigates."),
    R.CLOCK_BEHIND: _m(K.UNAVAILABLE, "The clock is behind the ledger.", "L'horloge est en retard sur le registre.", "The operator repairs the clock."),
    R.STORAGE_UNAVAILABLE: _m(K.UNAVAILABLE, "Storage cannot take this now.", "Le stockage ne peut pas recevoir cette écriture.", "Retry later; the operator checks disk and database."),
    R.OVERLOADED: _m(K.EXHAUSTED, "Too many calls at once.", "Trop d'appels simultanés.", "Retry with backoff."),
    R.INTERNAL: _m(K.INTERNAL, "An internal error occurred.", "Une erreur interne est survenue.", "Give the incident id to the operator."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Violation:
    """One invalid field: its path in the request, and what is wrong with it, without its value."""

    field: str
    description: str


class AccordError(Exception):
    """A request that cannot be served, with its reason.

    `detail` is for developers, English, and never holds a value that could be personal. `retry_after` is in seconds.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        violations: tuple[Violation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason.value}: {detail or MEANINGS[reason].english}")
        self.reason = reason
        self.detail = detail or MEANINGS[reason].english
        self.violations = violations
        self.retry_after = retry_after

    @property
    def kind(self) -> Kind:
        """The kind of this error's reason."""
        return MEANINGS[self.reason].kind


def invalid(violations: list[Violation]) -> AccordError:
    """A FIELD_INVALID error that names every violated field."""
    detail = "; ".join(f"{v.field}: {v.description}" for v in violations)
    return AccordError(Reason.FIELD_INVALID, detail, violations=tuple(violations))
