"""A hospital with one paid order and its conversation, and staff who look at it."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from accounts.domain.people import PatientAccount
from admin_console.domain.checkpoints import Signer
from admin_console.domain.traces import Findings
from admin_console.files import CheckpointFiles
from admin_console.mongo import (
    INDEXES,
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
from admin_console.service import AuditQuery, Checkpoints, StaffDesk, Verifier
from admin_console.service.board import LiveBoard
from admin_console.service.custody import Custody
from admin_console.service.dossier import Dossiers
from admin_console.service.export import ConsultExport
from admin_console.service.proofs import Proofs
from admin_console.service.repairs import Hl7Repairs
from admin_console.service.search import StaffSearch
from admin_console.service.traces import LeakTracing
from billing.mongo import MongoPayments
from consult.domain.log import Policy
from consult.domain.order import ConsentGiven, Order, OrderDoctor, OrderKind, OrderPatient, find_opening
from consult.domain.status import Phase
from consult.mongo import MongoOrders
from consult.rules import ConsultRules
from consult.service.access import OrderAccess
from consult.service.conversations import ConsultDirectory
from ehr_view.hl7.domain import HeldMessage, Repair
from ehr_view.mongo import MongoViews
from im.domain import Opening, SendMessage
from im.follower import Follower
from im.history import History
from im.mongo import LogStore
from im.names import NameBook
from im.receipts import Receipts
from im.search.mongo import MongoTerms
from im.search.projection import SearchTerms
from im.search.service import MessageSearch
from im.service import ConversationLog
from server.kernel import audit as kernel_audit
from server.kernel.actor import Actor, Role, StaffRole, system_actor
from server.kernel.audit import AuditLog
from server.kernel.clock import Clock
from server.kernel.crypto import Keyring, MasterKey
from server.kernel.ids import new_id
from server.kernel.mongo import Database
from server.kernel.outbox import event_of
from tests.support.indexes import make_indexes

MASTER = MasterKey(bytes(range(32)))
SIGNER = Signer(MASTER.secret("checkpoint"))
PATIENT, DOCTOR = "a" * 32, "d" * 32
POLICY = Policy(validity_ms=48 * 3_600_000, replies=3, recall_window_ms=120_000, patient_burst=100)


def staff(*roles: StaffRole, hospital_id: str = "default") -> Actor:
    return Actor("5" * 32, Role.STAFF, hospital_id, new_id(), staff_roles=frozenset(roles))


@dataclass
class _Opener:
    orders: MongoOrders

    async def find_opening(self, conversation_id: str) -> Opening | None:
        order = await self.orders.find_by_conversation(conversation_id)
        return None if order is None else find_opening(order)


class Shelf:
    """Implements `ContentReader` over what tests put there, by owner and medium."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, str, str], tuple[str, bytes]] = {}

    async def read_attached(
        self, hospital_id: str, owner_kind: str, owner_id: str, media_id: str, *, most_bytes: int
    ) -> tuple[str, bytes] | None:
        found = self.contents.get((owner_kind, owner_id, media_id))
        return found if found is not None and len(found[1]) <= most_bytes else None


@dataclass
class Outside:
    """Implements `Names`, `AccountBook`, `Hl7Intake` and `JobQueue` over what tests put there."""

    names: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, PatientAccount] = field(default_factory=dict)
    failed: dict[str, HeldMessage] = field(default_factory=dict)
    requested: list[tuple[str, ...]] = field(default_factory=list)

    async def find_names(self, account_ids: Collection[str]) -> dict[str, str]:
        return {each: self.names[each] for each in account_ids if each in self.names}

    async def find_by_phone(self, phone: str) -> PatientAccount | None:
        return self.accounts.get(phone)

    async def list_failed(self, limit: int) -> list[HeldMessage]:
        return list(self.failed.values())[:limit]

    async def retry(self, message_id: str) -> Repair | None:
        return None if self.failed.pop(message_id, None) is None else Repair(message_id, is_accepted=True)

    def request(self, name: str, *arguments: str) -> None:
        self.requested.append((name, *arguments))


class _SeesNothing:
    """Implements `MarkReader` for pictures that carry no mark."""

    async def read(self, picture: bytes, issued: Sequence[int]) -> Findings:
        return Findings((), 1, 1)


@dataclass
class Supervision:
    """Everything that supervision is made of, on one database."""

    database: Database
    clock: Clock
    folder: Path
    audit: AuditLog
    orders: MongoOrders
    log: ConversationLog
    query: AuditQuery
    desk: StaffDesk
    checkpoints: Checkpoints
    verifier: Verifier
    tracing: LeakTracing
    export: ConsultExport
    shelf: Shelf
    board: LiveBoard
    dossiers: Dossiers
    proofs: Proofs
    repairs: Hl7Repairs
    outside: Outside
    search: StaffSearch
    custody: Custody
    follow: Callable[[], Awaitable[None]]

    async def order(self, *, paid: bool = True, hospital_id: str = "default") -> Order:
        now, order_id = self.clock.now(), new_id()
        order = Order(
            id=order_id,
            hospital_id=hospital_id,
            version=1,
            number="",
            phase=Phase.PENDING_PAYMENT,
            kind=OrderKind.CONSULT,
            patient_account=PATIENT,
            patient=OrderPatient(new_id(), "王小明", "male", None),
            doctor=OrderDoctor(DOCTOR, "李医生", "主任医师", "儿科"),
            complaint="发热两天",
            image_ids=(),
            consent=ConsentGiven("1", "0" * 64, True),
            fee_fen=5000,
            conversation_id=new_id(),
            created_at=now,
            unpaid_until=now,
            planned_replies=3,
        )
        event = event_of(system_actor(hospital_id), "consult.order_created", subject=order_id, at=now, order_id=order_id)
        order = await self.orders.insert(order, event)
        if paid:
            assert await self.orders.capture(order, new_id(), POLICY, now, replace(event, action="consult.order_paid"))
        found = await self.orders.find(order_id)
        assert found is not None
        return found

    async def say(self, order: Order, account_id: str, words: str = "您好") -> int:
        role = Role.DOCTOR if account_id == DOCTOR else Role.PATIENT
        actor = Actor(account_id, role, order.hospital_id, new_id())
        command = SendMessage(account_id, new_id(), ({"kind": "text", "text": words},))
        return (await self.log.send(actor, order.conversation_id, command)).entry.seq

    async def close(self) -> None:
        await self.log.close()
        await self.audit.close()


async def supervision(database: Database, clock: Clock, folder: Path) -> Supervision:
    await make_indexes(database, kernel_audit.INDEXES, INDEXES, {"log": []})
    keyring, audit = Keyring(MASTER, database), AuditLog(database)
    orders = MongoOrders(database, keyring)
    log = ConversationLog(database, keyring, ConsultRules(), _Opener(orders), clock)
    staff_orders, shelf = MongoStaffOrders(database, keyring), Shelf()
    directory, terms, book = ConsultDirectory(orders), MongoTerms(database, keyring), NameBook(Outside(), clock)
    history = History(log, Receipts(database, log), directory, book, audit, clock, epoch=1)
    query = AuditQuery(audit, clock, MongoAuditRows(database), log, staff_orders)
    file = CheckpointFiles(folder / "checkpoints", SIGNER.public_key)
    outside, money = Outside(), MongoPayments(database)
    verifier = Verifier(MongoArchive(database), file, SIGNER.public_key, clock)
    return Supervision(
        database=database,
        clock=clock,
        folder=folder / "checkpoints",
        audit=audit,
        orders=orders,
        log=log,
        query=query,
        desk=StaffDesk(audit, clock, staff_orders, log, MongoLedger(database), query),
        checkpoints=Checkpoints(MongoFeed(database), MongoCheckpoints(database), file, SIGNER, clock),
        export=ConsultExport(
            audit, clock, staff_orders, OrderAccess(orders, log, audit, clock), log, MongoPayments(database), shelf
        ),
        shelf=shelf,
        search=StaffSearch(audit, clock, staff_orders, MessageSearch(terms, directory, log, history, audit, clock)),
        custody=Custody(audit, clock, book=MongoReveals(database, keyring), orders=staff_orders, log=log),
        follow=lambda: Follower(database, keyring).catch_up([SearchTerms(terms, LogStore(database), keyring)]),
        tracing=LeakTracing(audit, clock, _SeesNothing(), MongoIssuedViews(database, keyring)),
        verifier=verifier,
        board=LiveBoard(audit, clock, MongoBoard(database)),
        dossiers=Dossiers(
            audit,
            clock,
            orders=staff_orders,
            log=log,
            money=money,
            views=MongoViews(database, keyring),
            names=outside,
            accounts=outside,
            query=query,
        ),
        proofs=Proofs(audit, clock, MongoProofs(database), verifier, outside),
        repairs=Hl7Repairs(audit, clock, outside, "default"),
        outside=outside,
    )
