"""The `accord` command: `accord --help`."""

import sys

import typer

from services.chassis.config import ConfigError
from services.ctl.audit import audit_app
from services.ctl.authority import keys_app, pki_app
from services.ctl.call import call, explain
from services.ctl.consent import consent_app
from services.ctl.demo import demo
from services.ctl.ledger import ledger_app
from services.ctl.options import errors
from services.ctl.private_files import PkiError
from services.ctl.registry import registry_app
from services.ctl.stack import StackError
from services.ctl.up import up
from services.ctl.verification import trust_app, verify
from services.errors import AccordError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Accord: consent and secure exchange for a national health record.",
)
app.command()(demo)
app.command()(up)
app.command()(call)
app.command()(verify)
app.add_typer(consent_app, name="consent")
app.add_typer(audit_app, name="audit")
app.add_typer(ledger_app, name="ledger")
app.add_typer(registry_app, name="registry")
app.add_typer(trust_app, name="trust")
app.add_typer(pki_app, name="pki")
app.add_typer(keys_app, name="keys")


def main() -> None:
    """Runs the command; what cannot be done is explained in one place, without a traceback."""
    try:
        app()
    except AccordError as error:
        explain(error)
        sys.exit(1)
    except (StackError, ConfigError, PkiError) as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
