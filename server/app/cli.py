"""`yunzhen`: every part of the product and every tool of its operators. Parts import what they need when they are called,
so that each starts quickly."""

import sys
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

if TYPE_CHECKING:
    from server.app.settings import Settings

main = typer.Typer(
    name="yunzhen",
    help="Yunzhen (云诊): an internet-hospital consult server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
checks = typer.Typer(invoke_without_command=True)
ledger = typer.Typer(help="The money.", no_args_is_help=True)
audit = typer.Typer(help="The proof.", no_args_is_help=True)
export = typer.Typer(help="What other systems read.", no_args_is_help=True)
watermark = typer.Typer(help="The marks on pages.", no_args_is_help=True)
search = typer.Typer(help="What messages are found by.", no_args_is_help=True)
hl7 = typer.Typer(help="HL7 v2 messages that could not be taken.", no_args_is_help=True)
staff = typer.Typer(help="Staff accounts: the first ones, and the last resort.", no_args_is_help=True)
main.add_typer(staff, name="staff")
main.add_typer(checks, name="check")
main.add_typer(ledger, name="ledger")
main.add_typer(hl7, name="hl7")
main.add_typer(search, name="search")
main.add_typer(audit, name="audit")
main.add_typer(watermark, name="watermark")
main.add_typer(export, name="export")


def _settings(process: str) -> "Settings":
    """Read the settings and set logging up; a wrong setting ends the command with one line each."""
    from server.app.log import configure_logging
    from server.app.settings import explain, load_settings

    try:
        settings = load_settings()
    except ValidationError as error:
        for line in explain(error):
            typer.echo(line, err=True)
        raise typer.Exit(2) from None
    configure_logging(settings.log_level, process=process)
    return settings


def _run(coroutine: Coroutine[Any, Any, int | None]) -> None:
    import uvloop

    code = uvloop.run(coroutine)
    if code:
        raise typer.Exit(code)


@main.command()
def run() -> None:
    """Everything on one machine: databases, migrations, demo, simulators, server, keeper, worker, beat."""
    from server.app.supervisor import supervise

    raise typer.Exit(supervise(_settings("run")))


@main.command()
def serve() -> None:
    """One server process: HTTP and sockets."""
    from server.app.serve import serve_until_stopped

    _run(serve_until_stopped(_settings("serve")))


@main.command()
def keeper() -> None:
    """One keeper: follows the log and sweeps deadlines while it holds the lease."""
    from server.app.background import keep_until_stopped

    _run(keep_until_stopped(_settings("keeper")))


@main.command()
def worker() -> None:
    """One Celery worker: refunds, queries, whatever is slow."""
    from server.app.background import work_until_stopped

    raise typer.Exit(work_until_stopped(_settings("worker")))


@main.command()
def beat() -> None:
    """Celery beat: asks for the periodic jobs."""
    from server.app.beat import beat_until_stopped

    raise typer.Exit(beat_until_stopped(_settings("beat")))


@main.command()
def simulators() -> None:
    """The outside world: payment gateway, SMS, push."""
    from server.app.outside import simulate_until_stopped

    _run(simulate_until_stopped(_settings("simulators")))


@main.command()
def migrate() -> None:
    """Bring the database to this version."""
    from server.app.prepare import migrate_database

    _run(migrate_database(_settings("migrate")))


@main.command()
def backup(
    file: Annotated[Path, typer.Argument(help="where it is written; must not exist")],
) -> None:
    """Write the whole database, as it is at this instant, into a file; the product may run meanwhile. The key is not in it."""
    from server.app.commands import make_backup

    _run(make_backup(_settings("backup"), file))


@main.command()
def restore(
    file: Annotated[Path | None, typer.Argument(help="a file of `backup`, put into the empty database first")] = None,
) -> None:
    """Say that the database was restored from a backup, before anything is started: devices then fetch anew."""
    from server.app.commands import finish_restore

    _run(finish_restore(_settings("restore"), file))


@main.command()
def demo() -> None:
    """Fill an empty database with demo data, and write `demo.json`."""
    from server.app.prepare import prepare

    _run(prepare(_settings("demo")))


@checks.callback()
def check(context: typer.Context) -> None:
    """Print the settings, secrets redacted, and say what is wrong; or check one thing. Exits 0 only if all holds."""
    from server.app.commands import check_all

    if context.invoked_subcommand is None:
        _run(check_all(_settings("check")))


@checks.command("deadlines")
def check_deadlines() -> None:
    """Decide every deadline again, from what stands in the logs. Exits 1 if one was late by more than 60 s, double or wrong."""
    from server.app.commands import check_deadlines

    _run(check_deadlines(_settings("check")))


@main.command()
def schemas(
    folder: Annotated[Path, typer.Argument(help="where openapi.json, asyncapi.json and errors.md are written")] = Path("docs"),
) -> None:
    """Write the schemas that the server publishes, and the list of errors."""
    from server.app.commands import write_schemas

    raise typer.Exit(write_schemas(folder))


@ledger.command("verify")
def verify_ledger() -> None:
    """Check that money is conserved, per payment, per order and in all. Exits 0 only if it is."""
    from server.app.commands import verify_money

    _run(verify_money(_settings("ledger")))


@audit.command("verify")
def verify_audit(
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="a folder of checkpoint files, instead of `checkpoints` below YZ_DATA_DIR"
        ),
    ] = None,
) -> None:
    """Check every chain against the signed checkpoints. Exits 0 only if nothing was changed, dropped, moved or cut; 1 if
    something was; 3 if nothing was as far as can be shown, but the files here do not go far enough: a host without a keeper."""
    from server.app.commands import verify_proof

    _run(verify_proof(_settings("audit"), checkpoints))


@watermark.command("trace")
def trace_watermark(
    file: Annotated[Path, typer.Argument(help="a screenshot or a photo of a page: JPEG, PNG, WebP, HEIC")],
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="compare a weak mark with views since this day (else 90 days)"),
    ] = None,
) -> None:
    """Say whose view of a record a picture shows. Exits 0 if it names one, 1 if nothing is found, 2 if unreadable."""
    from server.app.commands import trace_picture

    _run(trace_picture(_settings("watermark"), file, since))


@export.command("fhir")
def export_fhir(
    order: Annotated[str, typer.Argument(help="an order's id")],
    inline: Annotated[bool, typer.Option("--inline", help="with pictures and recordings in it")] = False,
    hospital: Annotated[str, typer.Option(help="the hospital's id")] = "default",
) -> None:
    """Write a consult to standard output as a FHIR R4 bundle. Exits 1 where there is no such order."""
    from server.app.commands import export_order

    _run(export_order(_settings("export"), hospital, order, inline=inline))


@search.command("rebuild")
def rebuild_search() -> None:
    """Make the search terms of all messages anew from the log; the product may run meanwhile."""
    from server.app.commands import rebuild_search

    _run(rebuild_search(_settings("search")))


@staff.command("add")
def add_staff(
    username: Annotated[str, typer.Argument(help="2 to 64 small letters, digits, dots, dashes or underscores")],
    name: Annotated[str, typer.Option(help="the person's name")],
    role: Annotated[list[str], typer.Option(help="operator, auditor, medical_admin, finance or agent; may be repeated")],
    hospital: Annotated[str, typer.Option(help="the hospital's id")] = "default",
) -> None:
    """Add a member of staff, and print password and authenticator secret once. The console adds all others."""
    from server.app.staff import add_member

    _run(add_member(_settings("staff"), hospital, username, name, role))


@staff.command("renew")
def renew_staff(
    username: Annotated[str, typer.Argument(help="the member's user name")],
    hospital: Annotated[str, typer.Option(help="the hospital's id")] = "default",
) -> None:
    """Renew what a member signs in with and end the sessions, where no two others can agree to it. Prints both once."""
    from server.app.staff import renew_member

    _run(renew_member(_settings("staff"), hospital, username))


@hl7.command("failed")
def list_failed() -> None:
    """List what waits for repair: id, time, kind, control id, tries, reason and place. No words of the message."""
    from server.app.commands import list_failed_messages

    _run(list_failed_messages(_settings("hl7")))


@hl7.command("retry")
def retry(message_id: Annotated[str, typer.Argument(help="an id of `failed`, or `all`")]) -> None:
    """Take a message again, after what was missing is there. Exits 0 only if it is accepted."""
    from server.app.commands import retry_messages

    _run(retry_messages(_settings("hl7"), message_id))


@hl7.command("drop")
def drop(message_id: Annotated[str, typer.Argument(help="an id of `failed`")]) -> None:
    """Throw a message away."""
    from server.app.commands import drop_message

    _run(drop_message(_settings("hl7"), message_id))


if __name__ == "__main__":
    sys.exit(main())
