"""FHIR R4 (4.0.1) JSON of consents and accesses: domain values in, plain JSON values out. docs/fhir.md says which and why.

Guarantees required elements and bindings of the R4 specification; identifiers that name a patient by the portal's pseudonym
alone; and the same bytes for the same state. Leaves to the caller what the reader may see of it.
"""
