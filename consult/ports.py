"""What the product needs from the packages below it, and nothing more of them."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from accounts.domain.consents import Consent
from accounts.domain.doctors import Department, Doctor, DoctorPage, DoctorQuery
from accounts.domain.patients import Patient
from consult.domain.after_sales import AfterSales, AfterSalesState
from consult.domain.desk import DeskSettings, Figures, PlaceAnswer, PlaceClaim, QuickReply
from consult.domain.fairness import ReplyFlag, Said
from consult.domain.log import ConsultState, Policy
from consult.domain.notes import StaffNote
from consult.domain.notices import Notice
from consult.domain.order import DueOrder, Order, Rating, StartedPayment
from consult.domain.proofs import TimedOrder
from consult.domain.quick import QuickPrice
from consult.domain.reminders import Ladder, Reminder
from consult.domain.status import CloseReason, LogFacts, OrderStatus
from consult.domain.tasks import StaffTask, TaskFilter
from ehr_view.domain.records import PatientRef
from im.domain import Appended, Draft, Entry, EntryPage, Snapshot
from im.reading import Unreadable
from im.search.domain import Scoped
from server.kernel.actor import Actor
from server.kernel.outbox import Event

Decide = Callable[[ConsultState, int], Draft]
"""A rule with its command bound: state and now in milliseconds in, draft out, or a DomainError."""

Place = tuple[datetime, str]
"""Where in a list: the instant that it is sorted by, and the id."""

ClockOk = Callable[[], bool]
"""Whether this process's clock agrees with MongoDB's: if not, it decides no deadline."""


class Doctors(Protocol):
    async def find_doctors(self, doctor_ids: Collection[str]) -> Mapping[str, Doctor]: ...

    async def get_doctor(self, doctor_id: str) -> Doctor: ...

    async def list_doctors(self, query: DoctorQuery) -> DoctorPage: ...

    async def list_departments(self, hospital_id: str) -> Sequence[Department]:
        """All of them; bounded."""
        ...

    async def get_department(self, hospital_id: str, department_id: str) -> Department:
        """Raises DepartmentNotFound."""
        ...


class DoctorPhones(Protocol):
    """Doctors as a mark names them."""

    async def get_doctor(self, doctor_id: str) -> Doctor: ...

    async def get_phone_tail(self, doctor: Doctor) -> str:
        """The last four digits."""
        ...


class Patients(Protocol):
    async def access_patient(self, actor: Actor, patient_id: str) -> Patient: ...


class Consents(Protocol):
    async def require(self, version: str, sha256: str) -> Consent:
        """The text in force that was agreed to, in whichever language. Raises ConsentMismatch."""
        ...


class OrderMedia(Protocol):
    async def claim_for_order(self, actor: Actor, hospital_id: str, order_id: str, media_ids: Collection[str]) -> None: ...


class Log(Protocol):
    """The conversation log (`im.service.ConversationLog`). One without an entry is opened by whoever needs it."""

    async def append(self, conversation_id: str, decide: Decide) -> Appended: ...

    async def preload(self, conversation_ids: Sequence[str]) -> None:
        """Read these in one go, before each is asked for. What cannot be read so is read when it is."""
        ...

    async def read(self, conversation_id: str) -> Snapshot: ...

    async def read_fresh(self, conversation_id: str) -> Snapshot: ...

    async def read_entries(
        self, conversation_id: str, *, after_seq: int | None = None, before_seq: int | None = None, limit: int = 100
    ) -> EntryPage: ...

    async def find_media(self, conversation_id: str, media_id: str) -> tuple[int, ...]: ...

    async def names_media(self, conversation_id: str, media_id: str) -> bool: ...


class Payments(Protocol):
    """Billing, as far as orders need it. `service.billing.OrderPayments` asks the real one."""

    async def start(self, actor: Actor, order: Order, channel: str, payment_id: str) -> StartedPayment:
        """Begin a payment of the order's fee under this id; the same id again is the same payment."""
        ...

    async def close_open_payments(self, order_id: str, hospital_id: str) -> bool:
        """Close them at the gateway. True: one was paid after all, and its capture will be told."""
        ...

    async def settle_earned(self, order_id: str, hospital_id: str, payment_id: str) -> None: ...

    async def refund(self, payment_id: str, hospital_id: str, cause: str, amount_fen: int | None = None) -> None:
        """So much of it, or all; the same cause again is the same refund."""
        ...

    async def refund_surplus(self, payment_id: str, hospital_id: str) -> None: ...


class VisitHistory(Protocol):
    """The hospital's records, asked one thing."""

    async def has_offline_visit(self, patient: Patient) -> bool: ...


class HospitalVisits(Protocol):
    """The hospital (`ehr_view.hospital.FhirHospital`), asked one thing."""

    async def has_visit(self, patient: PatientRef) -> bool: ...


class Live(Protocol):
    """Tells the sockets of accounts, wherever they are. Never waits, never raises: a live event is a hint."""

    def send(self, account_ids: Iterable[str], event: str, payload: Mapping[str, Any]) -> None: ...


class LiveHere(Protocol):
    """The sockets of this process alone."""

    def is_here(self, account_id: str) -> bool: ...

    def send_here(self, account_ids: Iterable[str], event: str, body: bytes) -> None: ...


class Outboxes(Protocol):
    """The relay: deliver what waits in that document, soon."""

    def soon(self, collection: str, key: Any, hospital_id: str) -> None: ...


class OrderRepository(Protocol):
    """Orders as stored. Each write carries its own guard and says whether it took effect."""

    async def insert(self, order: Order, event: Event) -> Order:
        """Store a new order; where its id is taken, the order that has it."""
        ...

    async def find(self, order_id: str) -> Order | None: ...

    async def find_all(self, order_ids: Iterable[str]) -> list[Order]:
        """Those of them that there are, in no order. As many as one query may name: some hundreds."""
        ...

    async def find_by_conversation(self, conversation_id: str) -> Order | None: ...

    async def list_of(
        self, actor: Actor, *, status: OrderStatus | None, limit: int, after: tuple[datetime, str] | None
    ) -> list[Order]:
        """The actor's orders, newest first, behind the place `after`."""
        ...

    async def list_open_conversations(self, actor: Actor, limit: int) -> list[str]: ...

    async def list_scope(self, actor: Actor, limit: int, start: tuple[int, str] | None, *, open_only: bool) -> list[Scoped]:
        """Conversations of the actor's paid orders, newest order first, from this place (made at, id) on, itself included."""
        ...

    async def list_offered(self, hospital_id: str, doctor_id: str, limit: int) -> list[Order]:
        """Orders that are offered to this doctor by a referral, as far as the documents know; the soonest due first."""
        ...

    async def list_pool(self, hospital_id: str, department_id: str, limit: int) -> list[Order]:
        """Paid quick consults of this department that nobody has, as far as the documents know; the soonest due first."""
        ...

    async def begin_payment(self, order: Order, payment_id: str, day: str) -> bool:
        """Note that a payment is being tried, and the day whose maximum it counts against, while it is unpaid and as read.

        The same payment again counts once. False too where there are `MOST_PAYMENTS` others."""
        ...

    async def forget_payment(self, order: Order, payment_id: str) -> None:
        """An attempt that never came to the gateway counts for nothing."""
        ...

    async def cancel(self, order: Order, reason: CloseReason, at: datetime, event: Event) -> bool:
        """While it is unpaid and as read."""
        ...

    async def capture(self, order: Order, payment_id: str, policy: Policy, at: datetime, event: Event) -> bool:
        """While it is unpaid."""
        ...

    async def rate(self, order: Order, rating: Rating, event: Event) -> bool:
        """While it has none."""
        ...

    async def set_record_access(self, order: Order, granted: bool, event: Event) -> bool: ...

    async def ask_after_sales(self, order: Order, case: AfterSales, event: Event) -> bool:
        """While it is paid and has no case."""
        ...

    async def decide_after_sales(self, order: Order, case: AfterSales, event: Event) -> bool:
        """While its case is undecided."""
        ...

    async def list_after_sales(
        self, hospital_id: str, state: AfterSalesState | None, *, limit: int, after: tuple[datetime, str] | None
    ) -> list[Order]:
        """Orders of the hospital with a case, asked last first, behind the place `after`."""
        ...

    async def add_refund(self, order: Order, refund_id: str, amount_fen: int, event: Event) -> bool:
        """Once for each refund."""
        ...

    async def show_log(self, order_id: str, hospital_id: str, facts: LogFacts, settled: Event | None) -> Order | None:
        """Lay what the log says over the document, unless it shows this entry or a later one: then None. The event is
        written with the first entry that settles."""
        ...

    async def show_logs(self, shown: Sequence[tuple[DueOrder, LogFacts, Event | None]]) -> None:
        """`show_log` for many, in one go."""
        ...

    async def follow_logs(self, followed: Sequence[tuple[str, str, LogFacts, Event | None]]) -> None:
        """The same for (order, hospital) each, and note that everything up to this entry has been followed."""
        ...

    async def find_log_seqs(self, conversation_ids: Collection[str]) -> Mapping[str, int]:
        """Up to which entry each has been followed; one that is no order's is missing."""
        ...


class DueOrders(Protocol):
    """Orders whose time has come, oldest first."""

    def expiring(self, now: datetime) -> AsyncIterator[DueOrder]: ...

    def settling(self, now: datetime) -> AsyncIterator[DueOrder]: ...

    def unpaid(self, now: datetime) -> AsyncIterator[DueOrder]: ...

    def lapsing(self, now: datetime) -> AsyncIterator[DueOrder]:
        """Quick consults whose doctor has been silent for as long as the policy allows."""
        ...

    async def lapse_decided(self, order: DueOrder, now: datetime) -> None:
        """What was due until that instant was looked at; the next entry of the log makes it due again, if it is."""
        ...

    def unfreed(self, before: datetime) -> AsyncIterator[DueOrder]:
        """Cancelled before that instant, and a place of their day may still be theirs."""
        ...

    async def place_freed(self, order_id: str, hospital_id: str) -> None: ...


class WholeLog(Protocol):
    """All conversations, as they stand in the database."""

    def entries(self) -> AsyncIterator[Entry | Unreadable]: ...

    async def has_log(self, conversation_id: str, hospital_id: str) -> bool: ...


class ReadMarks(Protocol):
    async def read_seq(self, conversation_id: str, account_id: str) -> int:
        """Up to which entry this member has read; 0 where nothing is known."""
        ...


class TimedOrders(Protocol):
    def timed(self) -> AsyncIterator[TimedOrder]:
        """All orders, each once, in no order that matters."""
        ...


class PlaceRepository(Protocol):
    """Places of a doctor's local days."""

    async def take(
        self, hospital_id: str, doctor_id: str, day: str, order_id: str, *, claimed_at: datetime | None = None
    ) -> bool:
        """Take a place, or keep the one that this order has; False when the day is full. `claimed_at`: on behalf of an entry
        that is to be appended next; until `hold` or `free` it is a claim."""
        ...

    async def take_unpaid(self, hospital_id: str, doctor_id: str, day: str, order_id: str, payer: str) -> PlaceAnswer:
        """Take a place that this account has yet to pay for, or keep the one that this order has."""
        ...

    async def hold(self, hospital_id: str, doctor_id: str, day: str, order_id: str) -> None:
        """The log says that it is taken: so it is, whatever became of the claim."""
        ...

    async def free(
        self, hospital_id: str, doctor_id: str, day: str, order_id: str, *, claimed_before: datetime | None = None
    ) -> None:
        """Give it back; with `claimed_before` only while it is a claim from before that instant."""
        ...

    def claimed(self, before: datetime) -> AsyncIterator[PlaceClaim]:
        """Claims from before that instant that nobody has settled."""
        ...

    async def apply_limit(self, settings: DeskSettings, days: Sequence[str]) -> None:
        """Write the limit into these days and all later ones that are there, unless a later decision is."""
        ...


class DeskRepository(Protocol):
    async def find_settings(self, hospital_id: str, doctor_id: str) -> DeskSettings: ...

    async def find_settings_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, DeskSettings]: ...

    async def save_settings(self, settings: DeskSettings, event: Event) -> bool:
        """While the stored version is the one before."""
        ...

    async def list_quick_replies(self, hospital_id: str, doctor_id: str) -> list[QuickReply]: ...

    async def add_quick_reply(self, hospital_id: str, doctor_id: str, reply: QuickReply, event: Event) -> bool:
        """While there is room and the id is not there."""
        ...

    async def change_quick_reply(self, hospital_id: str, doctor_id: str, reply: QuickReply, event: Event) -> bool: ...

    async def order_quick_replies(self, hospital_id: str, doctor_id: str, reply_ids: Sequence[str], event: Event) -> bool:
        """While exactly these are there."""
        ...

    async def delete_quick_reply(self, hospital_id: str, doctor_id: str, reply_id: str, event: Event) -> bool: ...

    async def figures_of(self, hospital_id: str, doctor_ids: Collection[str]) -> dict[str, Figures]: ...


class QuickPriceRepository(Protocol):
    async def find(self, hospital_id: str, department_id: str) -> QuickPrice:
        """What was decided; nothing was, nothing is offered."""
        ...

    async def list_of(self, hospital_id: str) -> list[QuickPrice]:
        """Of departments that take quick consults."""
        ...

    async def save(self, price: QuickPrice, event: Event) -> bool:
        """While the stored version is the one before."""
        ...


class NoticeRepository(Protocol):
    """Notices of accounts. What is read stays; reading again changes nothing."""

    async def insert(self, notices: Sequence[Notice]) -> Collection[str]:
        """The ids of those that were not told already."""
        ...

    async def list_of(self, account_id: str, *, limit: int, after: tuple[datetime, str] | None) -> list[Notice]: ...

    async def find(self, account_id: str, notice_id: str) -> Notice | None: ...

    async def read(self, account_id: str, notice_ids: Sequence[str], at: datetime) -> int:
        """How many of them had not been read."""
        ...

    async def read_up_to(self, account_id: str, place: tuple[datetime, str], at: datetime) -> int:
        """The notice at this place and all older ones; how many of them had not been read."""
        ...

    async def count_unread(self, account_id: str, most: int) -> int: ...


class DoctorTexts(Protocol):
    """SMS to doctors. The same id again is the same SMS; what the network does to it is not the caller's to mend."""

    async def tell_doctor(
        self, text_id: str, hospital_id: str, doctor_id: str, template: str, params: Mapping[str, str], expires_at: datetime
    ) -> None: ...


class PatientHolders(Protocol):
    async def list_holders(self, hospital_id: str, id_type: str, id_number: str, *, limit: int) -> list[Patient]:
        """This person in every account that has them."""
        ...


class OpenOrders(Protocol):
    async def list_open_of(self, hospital_id: str, patient_accounts: Sequence[str], *, limit: int) -> list[Order]:
        """Paid orders of these accounts that no entry has closed yet, as far as the documents know."""
        ...

    async def list_open_with_records(self, hospital_id: str, *, limit: int) -> list[str]:
        """The ids of paid orders that no entry has closed yet and whose patient agrees to record access now, those that end
        first at the front."""
        ...

    async def find_all(self, order_ids: Iterable[str]) -> list[Order]: ...


class ReminderRepository(Protocol):
    """Ladders of orders. Each write carries its own guard and says whether it took effect."""

    async def insert(self, reminder: Reminder) -> None:
        """Unless the order has one."""
        ...

    async def find(self, order_id: str) -> Reminder | None: ...

    def due(self, now: datetime) -> AsyncIterator[Reminder]:
        """Where something is to be decided by now, the longest due first."""
        ...

    async def save(self, reminder: Reminder, event: Event | None) -> bool:
        """While the stored version is the one before."""
        ...

    async def find_ladder(self, hospital_id: str) -> Ladder | None:
        """What the hospital decided; None where it decided nothing."""
        ...

    async def save_ladder(self, hospital_id: str, ladder: Ladder, event: Event) -> None: ...


class SharedRecords(Protocol):
    """The hospital's records (`ehr_view.service.RecordService`), as far as cards need them."""

    async def share_record(self, actor: Actor, order_id: str, record_id: str) -> None:
        """Raises RecordAccessDenied unless the actor could open it at this moment, RecordNotFound."""
        ...


class AccountNames(Protocol):
    async def find_names(self, account_ids: Collection[str]) -> Mapping[str, str]:
        """What people are called; ids that are unknown are missing in the answer."""
        ...


class NoteRepository(Protocol):
    """Internal notes, and who has which order open."""

    async def insert(self, note: StaffNote, event: Event) -> bool:
        """False when its id or its number is taken."""
        ...

    async def find(self, hospital_id: str, order_id: str, note_id: str) -> StaffNote | None: ...

    async def last_number(self, hospital_id: str, order_id: str) -> int:
        """0 where there is none."""
        ...

    async def list_of(self, hospital_id: str, order_id: str, *, limit: int, before: int | None) -> list[StaffNote]:
        """Newest first; only numbers below `before`."""
        ...

    async def watch(self, hospital_id: str, order_id: str, account_id: str, until: datetime) -> None: ...

    async def list_watchers(self, hospital_id: str, order_id: str, now: datetime) -> list[str]:
        """Accounts that have the order open, as many as `MOST_WATCHERS`."""
        ...


class FairnessRepository(Protocol):
    """Flags of replies, and a doctor's last replies by keyed digests."""

    async def digest(self, hospital_id: str, words: str) -> bytes: ...

    async def list_said(self, hospital_ids: Collection[str], doctor_ids: Collection[str]) -> Mapping[str, Sequence[Said]]:
        """By doctor, oldest first; one who said nothing is missing."""
        ...

    async def remember(self, said: Mapping[tuple[str, str], Sequence[Said]]) -> None:
        """By (hospital, doctor): what was not remembered yet."""
        ...

    async def insert(self, flag: ReplyFlag, event: Event) -> None:
        """Unless the reply has one."""
        ...

    async def find(self, hospital_id: str, flag_id: str) -> ReplyFlag | None: ...

    async def list_of(self, hospital_id: str, order_id: str) -> Sequence[ReplyFlag]: ...

    async def contest(self, flag: ReplyFlag, reason: str, at: datetime, event: Event) -> bool:
        """While it was not contested."""
        ...


class TaskRepository(Protocol):
    """Tasks of staff. Each write carries its own guard and says whether it took effect."""

    async def insert(self, task: StaffTask, event: Event) -> bool:
        """False when this cause has its task already."""
        ...

    async def find(self, hospital_id: str, task_id: str) -> StaffTask | None: ...

    async def list_of(self, hospital_id: str, wanted: TaskFilter, *, limit: int, after: Place | None) -> list[StaffTask]:
        """What is due first comes first, behind the place."""
        ...

    async def save(self, task: StaffTask, event: Event) -> bool:
        """While the stored version is the one before."""
        ...
