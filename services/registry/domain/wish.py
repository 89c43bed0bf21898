"""What a registrar says when they move something in the register."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """Which service or organisation, at which etag (empty: any), why, and on which evidence; auditors read the last two."""

    name: str
    etag: str = ""
    justification: str = ""
    evidence: str = ""
