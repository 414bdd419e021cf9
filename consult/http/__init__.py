"""Orders, doctors, desks and notices over HTTP: parse, call, map."""

from collections.abc import Mapping

from pydantic import BaseModel

from accounts.errors import DoctorNotFound, PatientNotFound
from billing.errors import ChannelUnavailable, GatewayRefused, GatewayUnknown, PaymentClosed
from consult.errors import (
    OrderConsentRequired,
    OrderDailyMaximum,
    OrderDoctorUnavailable,
    OrderNotFound,
    OrderPaymentsExhausted,
    OrderRevisitUnavailable,
    OrderTransitionRefused,
    OrderUnpaidMaximum,
    QuickRepliesFull,
    QuickReplyNotFound,
)
from consult.http.after_sales import after_sales_routes
from consult.http.departments import department_reply_routes
from consult.http.fairness import fairness_routes
from consult.http.notes import note_routes
from consult.http.notices import notice_routes
from consult.http.reminders import reminder_routes
from consult.http.requests import order_request
from consult.http.tasks import task_routes
from consult.service.after_sales import AfterSalesService
from consult.service.consults import ConsultService
from consult.service.desk import DeskService, DoctorBoard, ListedDoctor
from consult.service.fairness import FairnessService
from consult.service.notes import NoteService
from consult.service.notices import NoticeService
from consult.service.orders import OrderService
from consult.service.payments import OrderPaymentService
from consult.service.reminders import ReminderService
from consult.service.tasks import TaskService
from consult.wire import (
    DeclineIn,
    DeskSettingsModel,
    DoctorOut,
    DoctorPageOut,
    DoctorsQuery,
    FiguresOut,
    GiftIn,
    OrderIn,
    OrderOut,
    OrderPage,
    OrderQuery,
    PaymentIn,
    PaymentOut,
    QuickReplyIn,
    QuickReplyList,
    QuickReplyOut,
    RatingIn,
    RecordAccessIn,
    doctor_out,
    figures_out,
    order_out,
    quick_reply_out,
    schedule_of,
    settings_out,
)
from ehr_view.errors import RecordSourceUnavailable
from media.errors import MediaNotFound
from server.kernel.actor import Actor, Role
from server.kernel.clock import Clock
from server.kernel.edge import DOCTOR, PATIENT, PATIENT_OR_DOCTOR, SIGNED_IN, Call, Conceal, Handler, Idempotency, Route
from server.kernel.errors import DomainError
from server.kernel.wire import NoBody


def routes(
    orders: OrderService,
    payments: OrderPaymentService,
    consults: ConsultService,
    desk: DeskService,
    board: DoctorBoard,
    notices: NoticeService,
    tasks: TaskService,
    reminders: ReminderService,
    fairness: FairnessService,
    notes: NoteService,
    after_sales: AfterSalesService,
    clock: Clock,
) -> list[Route]:
    """All routes of this package."""

    async def conceal(actor: Actor, path: Mapping[str, str]) -> None:
        await orders.access.require_visible(actor, path["order_id"])

    return [
        *_order_routes(orders, payments, conceal),
        *_command_routes(consults, conceal),
        *_doctor_routes(board, clock),
        *_desk_routes(desk),
        *department_reply_routes(desk),
        *notice_routes(notices),
        *task_routes(tasks),
        *reminder_routes(reminders),
        *fairness_routes(fairness, conceal),
        *note_routes(notes, conceal),
        *after_sales_routes(after_sales, conceal),
    ]


def _order_routes(orders: OrderService, payments: OrderPaymentService, conceal: Conceal) -> list[Route]:
    async def create(call: Call) -> OrderOut:
        body: OrderIn = call.body
        request = order_request(body, doctor_id=body.doctor_id)
        return order_out(await orders.create_order(call.actor, call.seed_id, request))

    async def list_own(call: Call) -> OrderPage:
        query: OrderQuery = call.query
        found, cursor = await orders.list_orders(call.actor, query.status, query.limit, query.cursor)
        return OrderPage(items=[order_out(order) for order in found], next_cursor=cursor)

    async def get(call: Call) -> OrderOut:
        return order_out(await orders.get_order(call.actor, call.path["order_id"]))

    async def pay(call: Call) -> PaymentOut:
        body: PaymentIn = call.body
        started = await payments.start_payment(call.actor, call.path["order_id"], body.channel, call.seed_id)
        return PaymentOut(
            payment_id=started.payment_id,
            channel=started.channel,
            prepay_id=started.prepay_id,
            params=dict(started.params),
        )

    return [
        Route(
            "POST",
            "/orders",
            "create_order",
            "Ask a doctor for a consult; it begins once it is paid.",
            PATIENT,
            create,
            body=OrderIn,
            answer=OrderOut,
            status=201,
            idempotency=Idempotency.REQUIRED,
            errors=(
                OrderConsentRequired,
                OrderDoctorUnavailable,
                OrderRevisitUnavailable,
                RecordSourceUnavailable,
                DoctorNotFound,
                PatientNotFound,
                MediaNotFound,
            ),
            tag="orders",
        ),
        Route(
            "GET",
            "/orders",
            "list_orders",
            "One's own orders, newest first.",
            PATIENT_OR_DOCTOR,
            list_own,
            query=OrderQuery,
            answer=OrderPage,
            tag="orders",
        ),
        Route(
            "GET",
            "/orders/{order_id}",
            "get_order",
            "An order as of now.",
            PATIENT_OR_DOCTOR,
            get,
            answer=OrderOut,
            errors=(OrderNotFound,),
            conceal=conceal,
            tag="orders",
        ),
        Route(
            "POST",
            "/orders/{order_id}/payments",
            "start_payment",
            "Begin to pay; several attempts share one place of the doctor's day.",
            PATIENT,
            pay,
            body=PaymentIn,
            answer=PaymentOut,
            status=201,
            idempotency=Idempotency.REQUIRED,
            errors=(
                OrderNotFound,
                OrderTransitionRefused,
                OrderDoctorUnavailable,
                OrderPaymentsExhausted,
                OrderDailyMaximum,
                OrderUnpaidMaximum,
                ChannelUnavailable,
                PaymentClosed,
                GatewayRefused,
                GatewayUnknown,
            ),
            conceal=conceal,
            tag="orders",
        ),
    ]


def _command_routes(consults: ConsultService, conceal: Conceal) -> list[Route]:
    async def cancel(call: Call) -> OrderOut:
        return order_out(await consults.cancel_order(call.actor, call.path["order_id"], call.seed_id))

    async def decline(call: Call) -> OrderOut:
        reason: str = call.body.reason
        return order_out(await consults.decline_order(call.actor, call.path["order_id"], reason, call.seed_id))

    async def finish(call: Call) -> OrderOut:
        return order_out(await consults.finish_order(call.actor, call.path["order_id"], call.seed_id))

    async def gift(call: Call) -> OrderOut:
        count: int = call.body.count
        return order_out(await consults.gift_replies(call.actor, call.path["order_id"], count, call.seed_id))

    async def rate(call: Call) -> OrderOut:
        body: RatingIn = call.body
        order_id = call.path["order_id"]
        return order_out(await consults.rate_order(call.actor, order_id, body.stars, tuple(body.tags), body.text))

    async def record_access(call: Call) -> OrderOut:
        granted: bool = call.body.granted
        return order_out(await consults.set_record_access(call.actor, call.path["order_id"], granted))

    refusals = (OrderNotFound, OrderTransitionRefused)
    table: list[tuple[str, str, str, frozenset[Role], Handler, type[BaseModel], tuple[type[DomainError], ...]]] = [
        ("cancel", "cancel_order", "Cancel, free until the doctor's first reply.", PATIENT, cancel, NoBody, refusals),
        ("decline", "decline_order", "Give the order back before any reply.", DOCTOR, decline, DeclineIn, refusals),
        ("finish", "finish_order", "End the consult after at least one reply.", DOCTOR, finish, NoBody, refusals),
        ("gifts", "gift_replies", "Add replies to an open order, free.", DOCTOR, gift, GiftIn, refusals),
        ("rating", "rate_order", "Rate a completed order, once.", PATIENT, rate, RatingIn, refusals),
        (
            "record-access",
            "set_record_access",
            "Let the doctor see the records for this order, or no more.",
            PATIENT,
            record_access,
            RecordAccessIn,
            (OrderNotFound,),
        ),
    ]
    return [
        Route(
            "POST",
            f"/orders/{{order_id}}/{path}",
            name,
            summary,
            roles,
            handler,
            body=body,
            answer=OrderOut,
            errors=errors,
            conceal=conceal,
            tag="orders",
        )
        for path, name, summary, roles, handler, body, errors in table
    ]


def _doctor_routes(board: DoctorBoard, clock: Clock) -> list[Route]:
    def out(listed: ListedDoctor) -> DoctorOut:
        return doctor_out(listed.doctor, listed.settings, listed.figures, clock.now())

    async def list_all(call: Call) -> DoctorPageOut:
        query: DoctorsQuery = call.query
        found, cursor = await board.list_doctors(
            call.actor,
            department_id=query.department_id,
            q=query.q,
            accepting=query.accepting,
            limit=query.limit,
            cursor=query.cursor,
        )
        return DoctorPageOut(items=[out(listed) for listed in found], next_cursor=cursor)

    async def get(call: Call) -> DoctorOut:
        return out(await board.get_doctor(call.actor, call.path["doctor_id"]))

    return [
        Route(
            "GET",
            "/doctors",
            "list_doctors",
            "Doctors, with what they charge and how they answer.",
            SIGNED_IN,
            list_all,
            query=DoctorsQuery,
            answer=DoctorPageOut,
            tag="doctors",
        ),
        Route(
            "GET",
            "/doctors/{doctor_id}",
            "get_doctor",
            "One doctor.",
            SIGNED_IN,
            get,
            answer=DoctorOut,
            errors=(DoctorNotFound,),
            tag="doctors",
        ),
    ]


def _desk_routes(desk: DeskService) -> list[Route]:
    async def get_settings(call: Call) -> DeskSettingsModel:
        return settings_out(await desk.get_settings(call.actor))

    async def put_settings(call: Call) -> DeskSettingsModel:
        body: DeskSettingsModel = call.body
        return settings_out(
            await desk.save_settings(
                call.actor, accepting=body.accepting, daily_maximum=body.daily_maximum, schedule=schedule_of(body)
            )
        )

    async def get_figures(call: Call) -> FiguresOut:
        return figures_out(await desk.get_figures(call.actor))

    return [
        Route(
            "GET",
            "/desk/settings",
            "get_desk_settings",
            "When one takes orders, and how many a day.",
            DOCTOR,
            get_settings,
            answer=DeskSettingsModel,
            tag="desk",
        ),
        Route(
            "PUT",
            "/desk/settings",
            "put_desk_settings",
            "Decide when to take orders, and how many a day.",
            DOCTOR,
            put_settings,
            body=DeskSettingsModel,
            answer=DeskSettingsModel,
            tag="desk",
        ),
        Route(
            "GET",
            "/desk/figures",
            "get_desk_figures",
            "One's own work in figures.",
            DOCTOR,
            get_figures,
            answer=FiguresOut,
            tag="desk",
        ),
        *_quick_reply_routes(desk),
    ]


def _quick_reply_routes(desk: DeskService) -> list[Route]:
    async def list_all(call: Call) -> QuickReplyList:
        own = [quick_reply_out(reply) for reply in await desk.list_quick_replies(call.actor)]
        shared = [quick_reply_out(reply, "department") for reply in await desk.list_department_replies(call.actor)]
        return QuickReplyList(items=[*own, *shared])

    async def add(call: Call) -> QuickReplyOut:
        body: QuickReplyIn = call.body
        return quick_reply_out(await desk.add_quick_reply(call.actor, call.seed_id, body.text))

    async def change(call: Call) -> QuickReplyOut:
        body: QuickReplyIn = call.body
        return quick_reply_out(await desk.change_quick_reply(call.actor, call.path["reply_id"], body.text))

    async def delete(call: Call) -> None:
        await desk.delete_quick_reply(call.actor, call.path["reply_id"])

    path, one = "/desk/quick-replies", "/desk/quick-replies/{reply_id}"
    return [
        Route(
            "GET", path, "list_quick_replies", "One's sentences at hand.", DOCTOR, list_all, answer=QuickReplyList, tag="desk"
        ),
        Route(
            "POST",
            path,
            "add_quick_reply",
            "Keep a sentence at hand.",
            DOCTOR,
            add,
            body=QuickReplyIn,
            answer=QuickReplyOut,
            status=201,
            errors=(QuickRepliesFull,),
            tag="desk",
        ),
        Route(
            "PATCH",
            one,
            "change_quick_reply",
            "Change a sentence.",
            DOCTOR,
            change,
            body=QuickReplyIn,
            answer=QuickReplyOut,
            errors=(QuickReplyNotFound,),
            tag="desk",
        ),
        Route(
            "DELETE",
            one,
            "delete_quick_reply",
            "Delete a sentence.",
            DOCTOR,
            delete,
            status=204,
            errors=(QuickReplyNotFound,),
            tag="desk",
        ),
    ]
