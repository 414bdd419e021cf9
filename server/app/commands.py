"""What operators run by hand: checks, proofs, schemas. Each returns an exit code."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from getpass import getuser
from pathlib import Path
from socket import gethostname
from typing import Final

import orjson
from pydantic import SecretStr
from pymongo.errors import OperationFailure, PyMongoError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from admin_console.domain.traces import MAX_PICTURE_BYTES, TracedView
from ehr_view.domain.access import view_text
from server.app.backup import BackupFailed, Contents, load_backup, write_backup
from server.app.embedded import databases
from server.app.hl7 import failed_lines, retry_lines
from server.app.migrations import is_current, migrate, raise_epoch
from server.app.schemas import schema_files
from server.app.settings import Settings
from server.app.wiring import Addresses, Product, product
from server.kernel.actor import PLATFORM, system_actor
from server.kernel.audit import AuditLog, AuditRow, audit_row
from server.kernel.clock import SystemClock
from server.kernel.errors import DomainError
from server.kernel.money import yuan_text
from server.kernel.mongo import Database, connect, database
from server.kernel.settings import without_credentials

_CHINA: Final = timezone(timedelta(hours=8))
_TRANSACTIONS: Final = "transactionLifetimeLimitSeconds"
_LONGEST_TRANSACTION_SECONDS: Final = 10
_MOST_PRINTED: Final = 1_000
_LONGEST_PLACE: Final = 200

BACKUP_BEGAN: Final = "app.backup_began"
BACKUP_MADE: Final = "app.backup_made"
RESTORED: Final = "app.database_restored"

_out = Console(highlight=False, soft_wrap=True)


@asynccontextmanager
async def _product(settings: Settings) -> AsyncIterator[Product]:
    async with (
        databases(settings) as found,
        product(settings, Addresses(found.mongo_url, found.redis_url), listens=False) as made,
    ):
        yield made


async def check_all(settings: Settings) -> int:
    """Settings, databases, clock, keys: what is set, and what is wrong."""
    _print_settings(settings)
    wrong: list[str] = []
    async with _product(settings) as made:
        if not await is_current(made.database):
            wrong.append("the database is not migrated: run `yunzhen migrate`")
        if not await made.clock_guard.check():
            wrong.append("this machine's clock is more than 2 s from MongoDB's: no deadline would be decided")
        warnings = _warnings(settings) + await _database_warnings(made.database)
    for warning in warnings:
        _out.print(f"[yellow]warning[/] {warning}")
    for fault in wrong:
        _out.print(f"[red]wrong[/] {fault}")
    _out.print("all is well" if not wrong else f"{len(wrong)} wrong")
    return 1 if wrong else 0


def _print_settings(settings: Settings) -> None:
    table = Table("setting", "value", "", box=None, pad_edge=False)
    for name in sorted(type(settings).model_fields):
        value = getattr(settings, name)
        shown = "(set)" if isinstance(value, SecretStr) else without_credentials(str(settings.model_dump(mode="json")[name]))
        table.add_row(f"YZ_{name.upper()}", escape(shown), "" if name in settings.model_fields_set else "default")
    _out.print(table)


async def _database_warnings(database: Database) -> list[str]:
    """What the database would tell us only if asked, and may not tell us at all."""
    try:
        found = await database.client.admin.command({"getParameter": 1, _TRANSACTIONS: 1})
    except OperationFailure:
        return []
    if found[_TRANSACTIONS] <= _LONGEST_TRANSACTION_SECONDS:
        return []
    what = "a process that is killed while it books keeps that payment locked for so long"
    return [f"MongoDB's {_TRANSACTIONS} is {found[_TRANSACTIONS]}: {what}; set it to 5"]


def _warnings(settings: Settings) -> list[str]:
    found = []
    if settings.master_key_file is None:
        found.append("the master key lies beside the data: whoever takes the folder can read it (YZ_MASTER_KEY_FILE)")
    if settings.mongo_url is None:
        found.append("MongoDB is embedded: one member, one disk, no password for whoever is on this machine (YZ_MONGO_URL)")
    if settings.wechatpay_url is None:
        found.append("payments go to the simulator (YZ_WECHATPAY_URL, YZ_WECHATPAY_CONFIG_FILE)")
    if settings.sms_url is None:
        found.append("SMS go to the simulator (YZ_SMS_URL, YZ_SMS_ACCESS_KEY_FILE)")
    if settings.push_url is None:
        found.append("pushes go to the simulator (YZ_PUSH_URL, YZ_PUSH_KEY_FILE)")
    if settings.fhir_url is None:
        found.append("records come from the simulated hospital (YZ_FHIR_URL, YZ_DICOMWEB_URL, YZ_HOSPITAL_TOKEN_FILE)")
    if settings.web_push_contact.endswith("@localhost"):
        found.append("browsers' push services are given nobody to write to (YZ_WEB_PUSH_CONTACT)")
    if not settings.public_url.startswith("https://"):
        found.append("the public address is not https (YZ_BASE_URL)")
    return found


async def make_backup(settings: Settings, file: Path) -> int:
    """All that the database holds, from one instant. That it begins, and what came of it, are rows of the audit: whoever has
    the file and the key can read everything."""
    async with databases(settings) as found:
        client = connect(found.mongo_url)
        audit, made = AuditLog(database(client)), None
        try:
            await audit.record(_operators_row(BACKUP_BEGAN, file.name, file))
            made = await write_backup(database(client), file, SystemClock().now())
            await audit.record(_operators_row(BACKUP_MADE, f"sha256:{made.sha256}:{made.bytes}", file))
        except (BackupFailed, OSError) as failure:
            _out.print(f"[red]no backup[/] {escape(str(failure))}")
            return 1
        except (DomainError, PyMongoError) as failure:
            left = "no backup" if made is None else f"{file} is whole, but the audit does not know it"
            _out.print(f"[red]{escape(left)}[/] MongoDB failed on the way ({type(failure).__name__}): try again")
            return 1
        finally:
            await audit.close()
            await client.close()
    _out.print(f"{file}: {made.documents} documents of {made.collections} collections, {made.bytes} bytes, of {made.made_at}")
    _out.print(f"sha256 {made.sha256}")
    _out.print(f"keep the master key ({settings.key_file}) apart from it: one is nothing without the other")
    return 0


async def finish_restore(settings: Settings, file: Path | None = None) -> int:
    """Make a restored database known as one: to devices by the epoch, to the follower by forgetting its place, to auditors by a
    row. With a file, it is restored from there first."""
    loaded = None if file is None else await _load(settings, file)
    if file is not None and loaded is None:
        return 1
    async with _product(settings) as made:
        epoch = await raise_epoch(made.database, made.clock.now())
        await made.follower.forget()
        subject = "elsewhere" if loaded is None else f"sha256:{loaded.sha256}:{loaded.bytes}"
        await made.audit.record(_operators_row(RESTORED, subject, file))
    _out.print(f"epoch {epoch}: devices fetch anew, and every conversation is compared with what was made from it")
    return 0


async def _load(settings: Settings, file: Path) -> Contents | None:
    """Into an empty database, indexes included."""
    async with databases(settings) as found:
        client = connect(found.mongo_url)
        try:
            loaded = await load_backup(database(client), file)
            await migrate(database(client))
        except (BackupFailed, OSError) as failure:
            _out.print(f"[red]nothing restored[/] {escape(str(failure))}")
            return None
        finally:
            await client.close()
    _out.print(f"{loaded.documents} documents of {loaded.collections} collections, of {loaded.made_at}")
    return loaded


def _operators_row(action: str, subject: str, file: Path | None) -> AuditRow:
    """Who of this machine did it, and where."""
    place = gethostname() if file is None else f"{gethostname()}:{file.absolute()}"
    actor = replace(system_actor(PLATFORM, name=f"operator:{getuser()}"), address=place[-_LONGEST_PLACE:])
    return audit_row(actor, action, subject=subject[-_LONGEST_PLACE:], at=SystemClock().now())


async def verify_money(settings: Settings) -> int:
    """Recount the ledger."""
    async with _product(settings) as made:
        report = await made.books.verify()
    table = Table("account", "yuan", box=None, pad_edge=False)
    for account, amount in sorted(report.totals.items()):
        table.add_row(account, yuan_text(amount))
    _out.print(table)
    for fault in report.faults:
        _out.print(f"[red]fault[/] {fault.where}: {fault.what}")
    outcome = "balanced" if report.balanced else f"{report.fault_count} faults"
    _out.print(f"{report.payments} payments, {report.posting_sets} posting sets: {outcome}")
    return 0 if report.balanced else 1


async def verify_proof(settings: Settings, folder: Path | None = None) -> int:
    """Recompute every chain and hold it against the signed checkpoints: those of this host's files, or of another folder."""
    async with _product(settings) as made:
        report = await made.verifier.verify(None if folder is None else made.checkpoint_files(folder))
    for line in report.lines():
        _out.print(line, markup=False)
    if not report.holds:
        return 1
    return 3 if report.notes else 0


async def check_deadlines(settings: Settings) -> int:
    """Decide every deadline again."""
    printed = 0
    async with _product(settings) as made:
        proof = made.deadline_proof()
        async for finding in proof.findings():
            if printed < _MOST_PRINTED:
                _out.print(str(finding), markup=False)
            printed += 1
    if printed > _MOST_PRINTED:
        _out.print(f"… and {printed - _MOST_PRINTED} more")
    for line in proof.report.lines():
        _out.print(line, markup=False)
    return 0 if proof.report.holds else 1


async def export_order(settings: Settings, hospital_id: str, order_id: str, *, inline: bool) -> int:
    """Write a consult as FHIR."""
    async with _product(settings) as made:
        actor = system_actor(hospital_id, name=f"operator:{getuser()}")
        try:
            bundle = await made.export.for_operator(actor, hospital_id, order_id, inline=inline)
        except DomainError as error:
            Console(stderr=True).print(f"[red]not exported[/] {error.title}")
            return 1
    sys.stdout.write(orjson.dumps(bundle, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0


async def trace_picture(settings: Settings, file: Path, since: datetime | None) -> int:
    """Name the views that a picture shows. `since` is a day in China."""
    try:
        with file.open("rb") as opened:
            picture = opened.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        _out.print(f"[red]cannot be read[/] {error.strerror}")
        return 2
    if len(picture) > MAX_PICTURE_BYTES:
        _out.print(f"[red]cannot be read[/] it has more than {MAX_PICTURE_BYTES} bytes")
        return 2
    day = None if since is None else since.replace(tzinfo=_CHINA).astimezone(UTC)
    async with _product(settings) as made:
        try:
            found = await made.tracing.trace(system_actor(PLATFORM, name=f"operator:{getuser()}"), picture, since=day)
        except DomainError as error:
            _out.print(f"[red]cannot be read[/] {error.title}")
            return 2
    for traced in found.views:
        for line in trace_lines(traced):
            _out.print(line, markup=False)
    if not found.views:
        _out.print("nothing found")
    return 0 if found.views else 1


def trace_lines(traced: TracedView) -> Iterator[str]:
    """A traced view for people."""
    view, hint = traced.view, traced.hint
    yield f"view       {view_text(view.view_id)}"
    yield f"doctor     {view.viewer.name} ({view.viewer.staff_number})"
    yield f"order      {view.order_number} ({view.order_id})"
    yield f"record     {view.title}, page {view.page}"
    yield f"time       {view.at.astimezone(_CHINA):%Y-%m-%d %H:%M:%S} (China)"
    how = "read and checked" if hint.decoded else "compared with issued views"
    yield f"confidence {hint.confidence:.3f} ({how})"


async def rebuild_search(settings: Settings) -> int:
    """Make all search terms anew."""
    async with _product(settings) as made:
        _out.print(f"{await made.follower.rebuild(made.search_terms)} conversations")
    return 0


async def list_failed_messages(settings: Settings) -> int:
    """HL7 v2 messages that wait for repair."""
    async with _product(settings) as made:
        for line in await failed_lines(made.intake):
            _out.print(line, markup=False)
    return 0


async def retry_messages(settings: Settings, message_id: str) -> int:
    """Take a failed HL7 v2 message again, or all of them."""
    async with _product(settings) as made:
        lines, good = await retry_lines(made.intake, message_id)
    for line in lines:
        _out.print(line, markup=False)
    return 0 if good else 1


async def drop_message(settings: Settings, message_id: str) -> int:
    """Throw a failed HL7 v2 message away."""
    async with _product(settings) as made:
        dropped = await made.intake.drop(message_id)
    _out.print("dropped" if dropped else "no such failed message")
    return 0 if dropped else 1


def write_schemas(folder: Path) -> int:
    """Write what the server publishes, as it is committed. Needs no database."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_files().items():
        (folder / name).write_text(text)
    return 0
