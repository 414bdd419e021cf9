"""One order with all that is kept of it, and the account behind a patient's phone."""

from collections.abc import Iterable, Sequence
from typing import Final

from admin_console.domain.access import View
from admin_console.domain.audit import AuditFilter
from admin_console.domain.dossier import Dossier, prove_deadlines
from admin_console.ports import AccountBook, LogReader, MoneyReader, Names, StaffOrders, ViewBook
from admin_console.service.audit import AuditQuery
from admin_console.service.guard import Guard
from im.domain import Entry
from im.errors import ConversationNotFound
from server.kernel.actor import Actor
from server.kernel.audit import Audit
from server.kernel.clock import Clock
from server.kernel.ids import is_id

MOST_VIEWS: Final = 500
_ROWS: Final = 200


class Dossiers:
    """Every read is a row; an order of another hospital does not exist."""

    def __init__(
        self,
        audit: Audit,
        clock: Clock,
        *,
        orders: StaffOrders,
        log: LogReader,
        money: MoneyReader,
        views: ViewBook,
        names: Names,
        accounts: AccountBook,
        query: AuditQuery,
    ) -> None:
        self._guard = Guard(audit, clock)
        self._clock = clock
        self._orders = orders
        self._log = log
        self._money = money
        self._views = views
        self._names = names
        self._accounts = accounts
        self._query = query

    async def view(self, actor: Actor, order_id: str) -> Dossier:
        """What was said (except what was taken back), what moved of money, the newest looks at records, and every timed
        decision taken again. Raises Forbidden,
        OrderNotFound."""
        await self._guard.require(actor, View.DOSSIER, subject=order_id, order_id=order_id)
        found = await self._orders.find_order(actor.hospital_id, order_id)
        order = await self._guard.require_found(actor, View.DOSSIER, found, order_id)
        entries, recalled = await self._entries(order.conversation_id)
        views = await self._views.list_of_order(order.hospital_id, order.id, before=None, limit=MOST_VIEWS)
        rows = await self._query.list_rows(
            AuditFilter(order.hospital_id, order_id=order.id), limit=_ROWS, after=None, newest_first=True
        )
        people = {order.patient_account, order.doctor.id, *_senders(entries), *(row.account_id for row in rows.rows)}
        dossier = Dossier(
            entries=entries,
            recalled=recalled,
            postings=await self._money.list_postings_of_order(order.id, order.hospital_id),
            payments=await self._money.list_of_order(order.id, order.hospital_id),
            refunds=await self._money.list_refunds_of_order(order.id, order.hospital_id),
            views=views,
            names=await self._names.find_names([each for each in people if is_id(each)]),
            deadlines=prove_deadlines(order.conversation_id, entries, self._clock.now_ms()),
        )
        await self._guard.record(actor, View.DOSSIER, subject=order_id, order_id=order_id)
        return dossier

    async def find_patient_account(self, actor: Actor, phone: str) -> tuple[str, str] | None:
        """Id and name of the account with this phone, if it has ever ordered at the actor's hospital. Raises Forbidden."""
        await self._guard.require(actor, View.PATIENT, subject="patient")
        account = await self._accounts.find_by_phone(phone)
        known = account is not None and await self._orders.has_ordered(actor.hospital_id, account.id)
        if account is None or not known:
            await self._guard.record(actor, View.PATIENT, subject="patient")
            return None
        names = await self._names.find_names([account.id])
        await self._guard.record(actor, View.PATIENT, subject=account.id)
        return account.id, names.get(account.id, "")

    async def _entries(self, conversation_id: str) -> tuple[Sequence[Entry], frozenset[int]]:
        """All of the log, and what of it is recalled by the end."""
        found: list[Entry] = []
        try:
            while True:
                page = await self._log.read_entries(conversation_id, after_seq=len(found))
                found += page.entries
                if not page.more:
                    break
        except ConversationNotFound:  # nothing is paid
            return (), frozenset()
        return found, frozenset(entry.draft.recalls for entry in found if entry.draft.recalls is not None)


def _senders(entries: Iterable[Entry]) -> set[str]:
    return {entry.draft.sender for entry in entries if entry.draft.sender is not None}
