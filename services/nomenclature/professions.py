"""National identifiers of professionals (PS_IdNat) and structures (Struct_IdNat), and the profession codes (TRE_G15).

Guarantees: form and check digit. Leaves to others: whether the number exists, and whether to insist on the check digit:
the Luhn rules are common knowledge rather than a published requirement, and published examples break them, so the
national identifiers take `check_luhn`.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

PROFESSIONS: Mapping[str, str] = MappingProxyType(
    {
        "10": "Médecin",
        "21": "Pharmacien",
        "26": "Audioprothésiste",
        "28": "Opticien",
        "40": "Chirurgien-dentiste",
        "50": "Sage-femme",
        "60": "Infirmier",
        "70": "Masseur-kinésithérapeute",
        "80": "Pédicure-podologue",
        "91": "Orthophoniste",
        "92": "Orthoptiste",
        "94": "Ergothérapeute",
        "95": "Diététicien",
        "96": "Psychomotricien",
        "98": "Manipulateur ERM",
    }
)

_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_RPPS = re.compile(r"(?!0+$)[0-9]{11}", re.ASCII)
_SIREN = re.compile(r"[1-9][0-9]{8}", re.ASCII)
_SIRET = re.compile(r"[1-9][0-9]{13}", re.ASCII)
# ADELI and FINESS numbers begin with a department, 2A or 2B in Corsica.
_DEPARTMENTAL = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{7}", re.ASCII)

# La Poste numbered its thousands of sites under one SIREN by another rule: the digits' sum is a multiple of five.
_SIREN_OF_LA_POSTE = "356000000"


def luhn_is_valid(digits: str) -> bool:
    """Whether `digits` (ASCII digits, at least one) ends with its Luhn check digit (ISO/IEC 7812-1, annex B)."""
    if _DIGITS.fullmatch(digits) is None:
        return False
    doubled = sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def rpps_is_valid(number: str, *, check_luhn: bool = True) -> bool:
    """Whether `number` is an RPPS: 11 digits, the last one Luhn's."""
    return _RPPS.fullmatch(number) is not None and (not check_luhn or luhn_is_valid(number))


def adeli_is_valid(number: str) -> bool:
    """Whether `number` has the form of an ADELI: 9 characters that begin with a department."""
    return _DEPARTMENTAL.fullmatch(number) is not None


def finess_is_valid(number: str, *, check_luhn: bool = True) -> bool:
    """Whether `number` is a FINESS: 9 characters, the last one Luhn's; a Corsican one (2A, 2B) is checked for form."""
    if _DEPARTMENTAL.fullmatch(number) is None:
        return False
    return not check_luhn or not number.isdecimal() or luhn_is_valid(number)


def siren_is_valid(number: str, *, check_luhn: bool = True) -> bool:
    """Whether `number` is a SIREN: 9 digits, the last one Luhn's."""
    return _SIREN.fullmatch(number) is not None and (not check_luhn or luhn_is_valid(number))


def siret_is_valid(number: str, *, check_luhn: bool = True) -> bool:
    """Whether `number` is a SIRET: a valid SIREN and 5 digits, the last one Luhn's over all 14."""
    if _SIRET.fullmatch(number) is None or not siren_is_valid(number[:9], check_luhn=check_luhn):
        return False
    if not check_luhn or luhn_is_valid(number):
        return True
    return number.startswith(_SIREN_OF_LA_POSTE) and sum(map(int, number)) % 5 == 0


def ps_idnat_is_valid(value: str, *, check_luhn: bool = True) -> bool:
    """Whether `value` is a PS_IdNat made of `8` and an RPPS, or of `0` and an ADELI.

    Identifiers internal to a structure (`5…/…`) are not national numbers and are not valid here.
    """
    if value.startswith("8"):
        return rpps_is_valid(value[1:], check_luhn=check_luhn)
    return value.startswith("0") and adeli_is_valid(value[1:])


_STRUCTURES: Mapping[str, Callable[..., bool]] = MappingProxyType(
    {"1": finess_is_valid, "2": siren_is_valid, "3": siret_is_valid}
)


def struct_idnat_is_valid(value: str, *, check_luhn: bool = True) -> bool:
    """Whether `value` is a Struct_IdNat: `1` and a FINESS, `2` and a SIREN, or `3` and a SIRET."""
    check = _STRUCTURES.get(value[:1])
    return check is not None and check(value[1:], check_luhn=check_luhn)
