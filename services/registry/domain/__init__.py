"""What the register of referenced services is, without transport, storage or clock.

Reading order: `admission` (what may be recorded) · `service` (what is recorded) · `status` (how a service moves between
the stages of its referencing) · `snapshot` (what everyone else sees of it).
"""
