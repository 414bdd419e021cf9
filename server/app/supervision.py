"""Supervision and proof, put together."""

from dataclasses import dataclass

from admin_console.custody_http import custody_routes
from admin_console.domain.checkpoints import Signer
from admin_console.files import CheckpointFiles
from admin_console.http import routes
from admin_console.mongo import (
    MongoArchive,
    MongoAuditRows,
    MongoBoard,
    MongoCheckpoints,
    MongoFeed,
    MongoIssuedViews,
    MongoLedger,
    MongoProofs,
    MongoReveals,
    MongoStaffOrders,
)
from admin_console.search_http import routes as search_routes
from admin_console.service.audit import AuditQuery
from admin_console.service.board import LiveBoard
from admin_console.service.checkpoints import Checkpoints
from admin_console.service.custody import Custody
from admin_console.service.dossier import Dossiers
from admin_console.service.export import ConsultExport
from admin_console.service.orders import StaffDesk
from admin_console.service.proofs import Proofs
from admin_console.service.repairs import Hl7Repairs
from admin_console.service.search import StaffSearch
from admin_console.service.traces import LeakTracing
from admin_console.service.verification import Verifier
from admin_console.tasks import jobs
from admin_console.tracer import ProcessReader
from billing.mongo import MongoPayments
from consult.assembly import Consult
from im.search.service import MessageSearch
from im.service import ConversationLog
from media.service import MediaService
from server.app.ground import Ground
from server.app.people import People
from server.app.records import Records
from server.app.settings import Settings
from server.kernel.edge import Route
from server.kernel.jobs import Job, JobQueue


@dataclass(frozen=True, slots=True)
class Supervision:
    checkpoints: Checkpoints
    verifier: Verifier
    tracing: LeakTracing
    export: ConsultExport
    routes: tuple[Route, ...]
    jobs: tuple[Job, ...]


def supervision_of(
    ground: Ground,
    settings: Settings,
    *,
    people: People,
    consult: Consult,
    log: ConversationLog,
    media: MediaService,
    books: MongoPayments,
    records: Records,
    search: MessageSearch,
    queue: JobQueue,
) -> Supervision:
    db, audit, clock, master = ground.database, ground.audit, ground.clock, ground.master
    signer = Signer(master.secret("checkpoint"))
    files = CheckpointFiles(settings.data_dir / "checkpoints", signer.public_key)
    orders = MongoStaffOrders(db, ground.keyring)
    query = AuditQuery(audit, clock, MongoAuditRows(db), log, orders)
    desk = StaffDesk(audit, clock, orders, log, MongoLedger(db), query)
    tracing = LeakTracing(audit, clock, ProcessReader(master.secret("watermark")), MongoIssuedViews(db, ground.keyring))
    export = ConsultExport(audit, clock, orders, consult.access, log, books, media)
    verifier = Verifier(MongoArchive(db), files, signer.public_key, clock)
    proofs = Proofs(audit, clock, MongoProofs(db), verifier, queue)
    dossiers = Dossiers(
        audit,
        clock,
        orders=orders,
        log=log,
        money=books,
        views=records.views,
        names=people.names,
        accounts=people.patient_accounts,
        query=query,
    )
    custody = Custody(audit, clock, book=MongoReveals(db, ground.keyring), orders=orders, log=log)
    board = LiveBoard(audit, clock, MongoBoard(db))
    repairs = Hl7Repairs(audit, clock, records.intake, settings.hl7_hospital)
    return Supervision(
        checkpoints=Checkpoints(MongoFeed(db), MongoCheckpoints(db), files, signer, clock),
        verifier=verifier,
        tracing=tracing,
        export=export,
        routes=(
            *routes(query, desk, tracing, export, board, dossiers, proofs, repairs),
            *custody_routes(custody),
            *search_routes(StaffSearch(audit, clock, orders, search)),
        ),
        jobs=tuple(jobs(proofs)),
    )
