"""The `accord` command: set up, run, call, show, verify.

Leaves every decision to the services; what it verifies it verifies with `services.formats` alone.
"""
