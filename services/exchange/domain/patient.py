"""Whose document it is: the one INS among the header's patient identifiers.

Leaves to others: whether that patient is the one the exchange is about.
"""

from services.errors import AccordError, Reason
from services.exchange.domain.cda import CdaHeader
from services.nomenclature.ins import Ins, is_ins_root, parse_ins


def patient_ins(header: CdaHeader, *, allow_test: bool) -> Ins:
    """The INS that `header` names, once or several times over; `allow_test` admits test and demonstration identities.

    Raises: AccordError INS_MISSING when no identifier has an INS root, PATIENT_AMBIGUOUS when two differ, INS_INVALID and
    INS_TEST_REFUSED as `parse_ins`.
    """
    named = {identifier for identifier in header.patient_ids if is_ins_root(identifier.root)}
    if not named:
        raise AccordError(Reason.INS_MISSING)
    if len(named) > 1:
        raise AccordError(Reason.PATIENT_AMBIGUOUS, "the header names several INS")
    identifier = named.pop()
    return parse_ins(identifier.root, identifier.extension, allow_test=allow_test)
