"""Signing in, being told who one is, and ending it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel

from accounts.domain.sessions import (
    MEDIA_COOKIE,
    MEDIA_COOKIE_PATH,
    REFRESH_COOKIE_PATH,
    REFRESH_GRACE,
    Device,
    OpenedSession,
    refresh_cookie_of,
)
from accounts.errors import (
    AuthCodeRequired,
    AuthInvalid,
    AuthLocked,
    OriginRefused,
    PhoneNotAuthorised,
    SessionNotFound,
)
from accounts.service import (
    CodeService,
    PasswordService,
    SessionService,
    SignInService,
)
from accounts.wire import (
    CookieRefreshBody,
    DoctorSessionBody,
    MeAnswer,
    PasswordBody,
    PasswordResetBody,
    PatientSessionBody,
    RefreshBody,
    SessionAnswer,
    SmsCodeAnswer,
    SmsCodeBody,
    StaffSessionBody,
)
from server.kernel.actor import Role
from server.kernel.edge import ANYONE, PATIENT, SIGNED_IN, Call, Cookie, Handler, Idempotency, Reply, Route
from server.kernel.errors import RequestRateLimited


def _session_reply(opened: OpenedSession, status: int, *, in_cookie: bool = False) -> Reply:
    """The session as JSON, and its cookie for media; the refresh token in the one or in a cookie of its own."""
    seconds = int(opened.refresh_life.total_seconds())
    cookies = [Cookie(MEDIA_COOKIE, opened.media_token, MEDIA_COOKIE_PATH, seconds)]
    if in_cookie:
        name = refresh_cookie_of(opened.session.holder.role)
        cookies.append(Cookie(name, opened.refresh_token, REFRESH_COOKIE_PATH, seconds))
    return Reply(body=SessionAnswer.of(opened, in_cookie=in_cookie), status=status, cookies=tuple(cookies))


def _require_own_page(call: Call) -> None:
    """Cookies come by themselves, whichever page asks: only one of this server may. Browsers name a POST's page always."""
    try:
        page = urlsplit(call.request.headers.get("Origin", "")).netloc
    except ValueError:
        page = ""
    if not page or page != call.request.host:
        raise OriginRefused


@dataclass(frozen=True, slots=True)
class SignIn:
    codes: CodeService
    sign_in: SignInService
    sessions: SessionService
    passwords: PasswordService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path="/auth/sms-codes",
                name="request_sms_code",
                summary="Send a code to a phone; the answer does not tell whether the phone is known.",
                roles=ANYONE,
                handler=self.request_code,
                body=SmsCodeBody,
                answer=SmsCodeAnswer,
                status=202,
                idempotency=Idempotency.NONE,
                errors=(RequestRateLimited,),
                tag="auth",
            ),
            self._opening("patient", PatientSessionBody, self.open_patient, "Sign a patient in; the first code registers."),
            self._opening("doctor", DoctorSessionBody, self.open_doctor, "Sign a doctor in whose phone is authorised."),
            self._opening("staff", StaffSessionBody, self.open_staff, "Sign a member of staff in."),
            Route(
                method="POST",
                path="/auth/refresh",
                name="refresh_session",
                summary="The next tokens of a session; a token that was used before ends it.",
                roles=ANYONE,
                handler=self.refresh,
                body=RefreshBody,
                answer=SessionAnswer,
                idempotency=Idempotency.NONE,
                errors=(AuthInvalid,),
                tag="auth",
            ),
            Route(
                method="POST",
                path="/auth/cookie/refresh",
                name="refresh_session_by_cookie",
                summary="The next tokens of a session whose refresh token is in a cookie; for pages of this server alone.",
                roles=ANYONE,
                handler=self.refresh_by_cookie,
                body=CookieRefreshBody,
                answer=SessionAnswer,
                idempotency=Idempotency.NONE,
                errors=(AuthInvalid, OriginRefused),
                tag="auth",
            ),
            Route(
                method="POST",
                path="/auth/password-reset",
                name="reset_password",
                summary="Set a password by an SMS code; all sessions of the account end.",
                roles=ANYONE,
                handler=self.reset_password,
                body=PasswordResetBody,
                status=204,
                idempotency=Idempotency.NONE,
                errors=(AuthInvalid, AuthLocked),
                tag="auth",
            ),
        ]

    def _opening(self, who: str, body: type[BaseModel], handler: Handler, summary: str) -> Route:
        return Route(
            method="POST",
            path=f"/auth/{who}/sessions",
            name=f"open_{who}_session",
            summary=summary,
            roles=ANYONE,
            handler=handler,
            body=body,
            answer=SessionAnswer,
            status=201,
            idempotency=Idempotency.NONE,
            errors=(AuthInvalid, AuthLocked, OriginRefused, *([PhoneNotAuthorised] if who == "doctor" else [])),
            tag="auth",
        )

    async def request_code(self, call: Call) -> SmsCodeAnswer:
        body: SmsCodeBody = call.body
        return SmsCodeAnswer.of(await self.codes.request_code(call.actor, body.phone, body.purpose))

    async def open_patient(self, call: Call) -> Reply:
        body: PatientSessionBody = call.body
        if body.refresh_in_cookie:
            _require_own_page(call)
        device = Device(body.device_id, body.device_name)
        if body.code is not None:
            opened = await self.sign_in.open_patient_by_code(call.actor, body.phone, body.code, device)
        else:
            opened = await self.sign_in.open_patient_by_password(call.actor, body.phone, body.password or "", device)
        return _session_reply(opened, 201, in_cookie=body.refresh_in_cookie)

    async def open_doctor(self, call: Call) -> Reply:
        body: DoctorSessionBody = call.body
        if body.refresh_in_cookie:
            _require_own_page(call)
        device = Device(body.device_id, body.device_name)
        opened = await self.sign_in.open_doctor(call.actor, body.phone, body.code, device)
        return _session_reply(opened, 201, in_cookie=body.refresh_in_cookie)

    async def open_staff(self, call: Call) -> Reply:
        body: StaffSessionBody = call.body
        if body.refresh_in_cookie:
            _require_own_page(call)
        device = Device(body.device_id, body.device_name)
        opened = await self.sign_in.open_staff(call.actor, body.username, body.password, body.totp, device)
        return _session_reply(opened, 201, in_cookie=body.refresh_in_cookie)

    async def refresh(self, call: Call) -> Reply:
        body: RefreshBody = call.body
        opened = await self.sessions.refresh(call.actor, body.refresh_token, device_id=body.device_id)
        return _session_reply(opened, 200)

    async def refresh_by_cookie(self, call: Call) -> Reply:
        body: CookieRefreshBody = call.body
        _require_own_page(call)
        token = call.request.cookies.get(refresh_cookie_of(Role(body.role)), "")
        opened = await self.sessions.refresh(call.actor, token, device_id=body.device_id, grace=REFRESH_GRACE)
        return _session_reply(opened, 200, in_cookie=True)

    async def reset_password(self, call: Call) -> None:
        body: PasswordResetBody = call.body
        await self.passwords.reset_password(call.actor, body.phone, body.code, body.password)


@dataclass(frozen=True, slots=True)
class Account:
    sessions: SessionService
    passwords: PasswordService

    def routes(self) -> list[Route]:
        return [
            Route(
                method="DELETE",
                path="/auth/sessions/current",
                name="close_session",
                summary="Sign out; the session's sockets are closed.",
                roles=SIGNED_IN,
                handler=self.close_current,
                status=204,
                idempotency=Idempotency.NONE,
                tag="auth",
            ),
            Route(
                method="GET",
                path="/me",
                name="get_me",
                summary="The account that asks, and its devices.",
                roles=SIGNED_IN,
                handler=self.get_me,
                answer=MeAnswer,
                tag="account",
            ),
            Route(
                method="PUT",
                path="/me/password",
                name="change_password",
                summary="Set or change the password; the account's other sessions end.",
                roles=PATIENT,
                handler=self.change_password,
                body=PasswordBody,
                status=204,
                idempotency=Idempotency.NONE,
                errors=(AuthCodeRequired, AuthInvalid, AuthLocked),
                tag="account",
            ),
            Route(
                method="DELETE",
                path="/me/sessions/{session_id}",
                name="close_other_session",
                summary="Sign another device of this account out.",
                roles=SIGNED_IN,
                handler=self.close_other,
                status=204,
                errors=(SessionNotFound,),
                tag="account",
            ),
        ]

    async def close_current(self, call: Call) -> Reply:
        await self.sessions.close_current(call.actor)
        media = Cookie(MEDIA_COOKIE, "", MEDIA_COOKIE_PATH, 0)
        refresh = Cookie(refresh_cookie_of(call.actor.role), "", REFRESH_COOKIE_PATH, 0)
        return Reply(status=204, cookies=(media, refresh))

    async def get_me(self, call: Call) -> MeAnswer:
        return MeAnswer.of(await self.sessions.get_me(call.actor), call.actor.session_id)

    async def change_password(self, call: Call) -> None:
        body: PasswordBody = call.body
        await self.passwords.change_password(call.actor, body.password, body.current_password, body.code)

    async def close_other(self, call: Call) -> None:
        await self.sessions.close_other(call.actor, call.path["session_id"])
