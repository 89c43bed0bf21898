"""The rules of an exchange, pure: what a bundle must be, what a permit covers, what settles it.

Reading order: `exchange` (the words) · `safexml`, `cda`, `patient`, `bundle` (what comes in) · `permit`, `cover`, `frames`
(what may go out) · `settlement` (what is recorded).
"""
