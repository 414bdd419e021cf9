"""The routes of staff accounts: who one is, and whom operators (of auditors: auditors) add, change and end."""

from dataclasses import dataclass

from accounts.errors import (
    StaffDutiesSeparate,
    StaffNotFound,
    StaffRenewalNotAgreed,
    StaffRenewalOver,
    StaffSelfRefused,
    StaffUsernameTaken,
)
from accounts.service import StaffService
from accounts.wire import (
    NewStaffAnswer,
    StaffAnswer,
    StaffBody,
    StaffChangeBody,
    StaffCredentialsBody,
    StaffRenewalDecisionBody,
)
from server.kernel.edge import STAFF, Call, Idempotency, Route
from server.kernel.wire import Page, PageQuery, decode_cursor, encode_cursor


def staff_routes(staff: StaffService) -> list[Route]:
    return _Staff(staff).routes()


@dataclass(frozen=True, slots=True)
class _Staff:
    staff: StaffService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/admin/me",
                name="get_own_staff_account",
                summary="The member of staff who asks, and the roles of this session.",
                roles=STAFF,
                handler=self.get_own,
                answer=StaffAnswer,
                tag="admin",
            ),
            Route(
                method="GET",
                path="/admin/staff",
                name="list_staff",
                summary="The hospital's staff by user name, former members too.",
                roles=STAFF,
                handler=self.list,
                query=PageQuery,
                answer=Page[StaffAnswer],
                tag="admin",
            ),
            Route(
                method="POST",
                path="/admin/staff",
                name="add_staff",
                summary="Add a member of staff; the answer holds the secret for the authenticator, once.",
                roles=STAFF,
                handler=self.add,
                body=StaffBody,
                answer=NewStaffAnswer,
                status=201,
                idempotency=Idempotency.NONE,
                errors=(StaffUsernameTaken, StaffDutiesSeparate),
                tag="admin",
            ),
            Route(
                method="PATCH",
                path="/admin/staff/{account_id}",
                name="change_staff",
                summary="Change a member's name or roles; the member's sessions end at once.",
                roles=STAFF,
                handler=self.change,
                body=StaffChangeBody,
                answer=StaffAnswer,
                errors=(StaffNotFound, StaffSelfRefused, StaffDutiesSeparate),
                tag="admin",
            ),
            Route(
                method="POST",
                path="/admin/staff/{account_id}/credentials",
                name="renew_staff_credentials",
                summary="Give a member another password and authenticator secret, once agreed to; the sessions end at once.",
                roles=STAFF,
                handler=self.renew,
                body=StaffCredentialsBody,
                answer=NewStaffAnswer,
                idempotency=Idempotency.NONE,
                errors=(StaffNotFound, StaffSelfRefused, StaffDutiesSeparate, StaffRenewalNotAgreed),
                tag="admin",
            ),
            Route(
                method="POST",
                path="/admin/staff/{account_id}/renewals",
                name="ask_staff_renewal",
                summary="Ask that a member's password and authenticator be renewed; somebody of the other office must agree.",
                roles=STAFF,
                handler=self.ask_renewal,
                answer=StaffAnswer,
                status=201,
                errors=(StaffNotFound, StaffSelfRefused, StaffDutiesSeparate),
                tag="admin",
            ),
            Route(
                method="POST",
                path="/admin/staff/{account_id}/renewals/{renewal_id}/decision",
                name="decide_staff_renewal",
                summary="Agree to a request to renew, or refuse it: an auditor; an operator where it is an auditor's account.",
                roles=STAFF,
                handler=self.decide_renewal,
                body=StaffRenewalDecisionBody,
                answer=StaffAnswer,
                errors=(StaffNotFound, StaffSelfRefused, StaffRenewalNotAgreed, StaffRenewalOver),
                tag="admin",
            ),
            Route(
                method="DELETE",
                path="/admin/staff/{account_id}",
                name="disable_staff",
                summary="End a member's account; the member's sessions end at once.",
                roles=STAFF,
                handler=self.disable,
                status=204,
                errors=(StaffNotFound, StaffSelfRefused, StaffDutiesSeparate),
                tag="admin",
            ),
        ]

    async def get_own(self, call: Call) -> StaffAnswer:
        return StaffAnswer.of(await self.staff.get_own(call.actor))

    async def list(self, call: Call) -> Page[StaffAnswer]:
        asked: PageQuery = call.query
        after: str | None = decode_cursor(asked.cursor, str)[0] if asked.cursor is not None else None
        found, more = await self.staff.list_staff(call.actor, limit=asked.limit, after=after)
        cursor = encode_cursor(found[-1].username) if more else None
        return Page[StaffAnswer](items=[StaffAnswer.of(account) for account in found], next_cursor=cursor)

    async def add(self, call: Call) -> NewStaffAnswer:
        body: StaffBody = call.body
        account = await self.staff.add_staff(
            call.actor,
            username=body.username,
            name=body.name,
            password=body.password,
            roles=body.roles,
            account_id=call.seed_id,
        )
        return NewStaffAnswer.of(account)

    async def change(self, call: Call) -> StaffAnswer:
        body: StaffChangeBody = call.body
        account_id = call.path["account_id"]
        return StaffAnswer.of(await self.staff.change_staff(call.actor, account_id, name=body.name, roles=body.roles))

    async def renew(self, call: Call) -> NewStaffAnswer:
        body: StaffCredentialsBody = call.body
        return NewStaffAnswer.of(await self.staff.renew_credentials(call.actor, call.path["account_id"], body.password))

    async def ask_renewal(self, call: Call) -> StaffAnswer:
        return StaffAnswer.of(await self.staff.ask_renewal(call.actor, call.path["account_id"], renewal_id=call.seed_id))

    async def decide_renewal(self, call: Call) -> StaffAnswer:
        body: StaffRenewalDecisionBody = call.body
        account_id, renewal_id = call.path["account_id"], call.path["renewal_id"]
        return StaffAnswer.of(await self.staff.decide_renewal(call.actor, account_id, renewal_id, agrees=body.agrees))

    async def disable(self, call: Call) -> None:
        await self.staff.disable_account(call.actor, call.path["account_id"])
