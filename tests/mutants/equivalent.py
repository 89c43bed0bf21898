"""Mutants that mean the same as the source: the module, the line before and after, and why no test can tell them apart."""

EQUIVALENT = {
    (
        "services/consent/domain/decision.py",
        "if party.standing is not None:",
        "if True:",
    ): "a party without standing has no ground (SERVICE_NOT_REFERENCED), so it never comes to a permit",
}
