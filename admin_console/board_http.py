"""The console's own questions: the board, figures by day, dossiers, verifications, repairs. Services say which staff."""

from admin_console.board_wire import (
    BoardOut,
    DossierOut,
    Hl7List,
    Hl7RepairOut,
    PatientLookupIn,
    PatientLookupOut,
    ProofList,
    ProofOut,
    SeriesOut,
    SeriesQuery,
    board_out,
    dossier_out,
    hl7_out,
    proof_out,
    series_out,
)
from admin_console.errors import Hl7MessageNotFound
from admin_console.service.board import LiveBoard
from admin_console.service.dossier import Dossiers
from admin_console.service.proofs import Proofs
from admin_console.service.repairs import Hl7Repairs
from consult.errors import OrderNotFound
from server.kernel.edge import STAFF, Call, Idempotency, Route
from server.kernel.errors import Forbidden
from server.kernel.wire import NoBody

_TAG = "admin"


def board_routes(board: LiveBoard, dossiers: Dossiers, proofs: Proofs, repairs: Hl7Repairs) -> list[Route]:
    handlers = _Handlers(board, dossiers, proofs, repairs)
    return [*_board(handlers), *_proofs(handlers), *_repairs(handlers)]


class _Handlers:
    def __init__(self, board: LiveBoard, dossiers: Dossiers, proofs: Proofs, repairs: Hl7Repairs) -> None:
        self._board = board
        self._dossiers = dossiers
        self._proofs = proofs
        self._repairs = repairs

    async def view_board(self, call: Call) -> BoardOut:
        return board_out(await self._board.view_board(call.actor))

    async def view_series(self, call: Call) -> SeriesOut:
        asked: SeriesQuery = call.query
        return series_out(await self._board.view_series(call.actor, asked.days))

    async def view_dossier(self, call: Call) -> DossierOut:
        return dossier_out(await self._dossiers.view(call.actor, call.path["order_id"]))

    async def find_patient(self, call: Call) -> PatientLookupOut:
        body: PatientLookupIn = call.body
        found = await self._dossiers.find_patient_account(call.actor, body.phone)
        account_id, name = found if found is not None else (None, None)
        return PatientLookupOut(account_id=account_id, name=name)

    async def request_proof(self, call: Call) -> ProofOut:
        return proof_out(await self._proofs.request(call.actor))

    async def list_proofs(self, call: Call) -> ProofList:
        return ProofList(items=[proof_out(proof) for proof in await self._proofs.list_newest(call.actor)])

    async def list_hl7(self, call: Call) -> Hl7List:
        return Hl7List(items=[hl7_out(message) for message in await self._repairs.list_failed(call.actor)])

    async def retry_hl7(self, call: Call) -> Hl7RepairOut:
        repair = await self._repairs.retry(call.actor, call.path["message_id"])
        if repair is None:
            raise Hl7MessageNotFound
        return Hl7RepairOut(message_id=repair.message_id, accepted=repair.is_accepted, reason=repair.reason)


def _board(handlers: _Handlers) -> list[Route]:
    return [
        Route(
            method="GET",
            path="/admin/board",
            name="view_board",
            summary="What is going on now: who waits, what is due, what failed, and today's figures",
            roles=STAFF,
            handler=handlers.view_board,
            answer=BoardOut,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/figures/daily",
            name="view_daily_figures",
            summary="Figures day by day, and by department",
            roles=STAFF,
            handler=handlers.view_series,
            query=SeriesQuery,
            answer=SeriesOut,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/orders/{order_id}/dossier",
            name="view_order_dossier",
            summary="What was said, what moved of money, and who looked at records, for one order",
            roles=STAFF,
            handler=handlers.view_dossier,
            answer=DossierOut,
            errors=(Forbidden, OrderNotFound),
            tag=_TAG,
        ),
        Route(
            method="POST",
            path="/admin/patients/lookup",
            name="find_patient_account",
            summary="The account behind a patient's phone, to search orders and the audit by",
            roles=STAFF,
            handler=handlers.find_patient,
            body=PatientLookupIn,
            answer=PatientLookupOut,
            idempotency=Idempotency.NONE,
            errors=(Forbidden,),
            tag=_TAG,
        ),
    ]


def _proofs(handlers: _Handlers) -> list[Route]:
    return [
        Route(
            method="POST",
            path="/admin/audit/verifications",
            name="verify_history",
            summary="Have all of history verified against its checkpoints; one that waits or runs already is that one",
            roles=STAFF,
            handler=handlers.request_proof,
            body=NoBody,
            answer=ProofOut,
            status=202,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="GET",
            path="/admin/audit/verifications",
            name="list_verifications",
            summary="Verifications and what came of them, newest first",
            roles=STAFF,
            handler=handlers.list_proofs,
            answer=ProofList,
            errors=(Forbidden,),
            tag=_TAG,
        ),
    ]


def _repairs(handlers: _Handlers) -> list[Route]:
    return [
        Route(
            method="GET",
            path="/admin/hl7",
            name="list_failed_hl7",
            summary="HL7 messages that could not be taken and wait for repair, oldest first",
            roles=STAFF,
            handler=handlers.list_hl7,
            answer=Hl7List,
            errors=(Forbidden,),
            tag=_TAG,
        ),
        Route(
            method="POST",
            path="/admin/hl7/{message_id}/retry",
            name="retry_hl7",
            summary="Take a failed message again",
            roles=STAFF,
            handler=handlers.retry_hl7,
            body=NoBody,
            answer=Hl7RepairOut,
            errors=(Forbidden, Hl7MessageNotFound),
            tag=_TAG,
        ),
    ]
