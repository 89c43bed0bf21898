"""A referenced service that sends bundles: how to declare documents, sign a manifest, send it and read the answer.

Reading order: `declaration` (what a manifest says of a document) → `bundles` (signing and sending one bundle) → `__main__`
(flags, and JSON lines in and out).
"""
