"""Referrals over HTTP."""

from collections.abc import Mapping

from accounts.errors import DoctorNotFound
from consult.domain.log import ReferralAct
from consult.errors import OrderDailyMaximum, OrderNotFound, OrderTransitionRefused
from consult.service.referrals import ReferralService
from consult.wire.referrals import OfferList, ReferralIn, ReferralList, ReferralOut, offer_out, referral_out
from server.kernel.actor import Actor, Role
from server.kernel.edge import DOCTOR, PATIENT, PATIENT_OR_DOCTOR, Call, Handler, Route
from server.kernel.wire import NoBody


def referral_routes(referrals: ReferralService) -> list[Route]:
    async def conceal(actor: Actor, path: Mapping[str, str]) -> None:
        await referrals.conceal(actor, path["order_id"])

    async def propose(call: Call) -> ReferralOut:
        body: ReferralIn = call.body
        order_id = call.path["order_id"]
        return referral_out(await referrals.propose(call.actor, order_id, body.doctor_id, body.reason, call.seed_id))

    async def find(call: Call) -> ReferralList:
        found = await referrals.find(call.actor, call.path["order_id"])
        return ReferralList(items=[] if found is None else [referral_out(found)])

    async def offers(call: Call) -> OfferList:
        return OfferList(items=[offer_out(offer) for offer in await referrals.list_offers(call.actor)])

    def step(word: str, act: ReferralAct, summary: str, roles: frozenset[Role]) -> Route:
        async def take(call: Call) -> ReferralOut:
            path = call.path
            shown = await referrals.step(call.actor, path["order_id"], path["referral_id"], act, call.seed_id)
            return referral_out(shown)

        handler: Handler = take
        return Route(
            "POST",
            f"/orders/{{order_id}}/referrals/{{referral_id}}/{word}",
            f"{word}_referral",
            summary,
            roles,
            handler,
            body=NoBody,
            answer=ReferralOut,
            errors=(OrderNotFound, OrderTransitionRefused, *([OrderDailyMaximum] if act is ReferralAct.ACCEPT else [])),
            conceal=conceal,
            tag="orders",
        )

    return [
        Route(
            "POST",
            "/orders/{order_id}/referrals",
            "propose_referral",
            "Offer the order to another doctor, while no reply counts.",
            DOCTOR,
            propose,
            body=ReferralIn,
            answer=ReferralOut,
            status=201,
            errors=(OrderNotFound, OrderTransitionRefused, DoctorNotFound),
            conceal=conceal,
            tag="orders",
        ),
        Route(
            "GET",
            "/orders/{order_id}/referrals",
            "list_referrals",
            "The referral under way.",
            PATIENT_OR_DOCTOR,
            find,
            answer=ReferralList,
            errors=(OrderNotFound,),
            conceal=conceal,
            tag="orders",
        ),
        step("accept", ReferralAct.ACCEPT, "Take the order, if its patient agrees; takes a place of one's day.", DOCTOR),
        step("agree", ReferralAct.AGREE, "Let the new doctor have the order; the one before sees it no more.", PATIENT),
        step("refuse", ReferralAct.REFUSE, "Leave the order with its doctor.", PATIENT_OR_DOCTOR),
        step("withdraw", ReferralAct.WITHDRAW, "Keep the order after all.", DOCTOR),
        Route(
            "GET",
            "/desk/referrals",
            "list_offers",
            "Orders that other doctors would hand over.",
            DOCTOR,
            offers,
            answer=OfferList,
            tag="desk",
        ),
    ]
