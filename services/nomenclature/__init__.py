"""French health codes and identifiers: the INS, document types and classes, professionals and structures.

Guarantees: pure functions over plain strings and dated tables, with no I/O and no clock. Leaves to others: whether an
identity is qualified, whether a professional is registered, and which recipient may see what.

Read in this order: `oids`, `ins`, `documents`, `professions`.
"""
