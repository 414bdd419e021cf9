"""The push provider: JPush API v3 (`POST /push/v3/push`, Basic authentication, audience of registration ids), the devices that
receive at `GET /push/messages?device_id=`, and the levers at `/push/faults`.

A registration id is the device's id here. `cid` is the sender's own id of a push: the same one again is not delivered
twice, and gets the first answer.
"""

import asyncio
import base64
import hmac
from collections import OrderedDict
from itertools import count
from typing import Any, Final, Literal

import msgspec
import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.kernel.clock import Clock, iso_ms
from simulators.keys import PushKeys
from simulators.levers import Lever
from simulators.shelf import Shelf, Store

_KEPT: Final = 20_000
_CIDS_KEPT: Final = 20_000
_SHOWN: Final = 100
_AUDIENCE_LIMIT: Final = 1000


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    msg_id: str
    cid: str | None
    device_id: str
    title: str | None
    alert: str
    badge: int | None
    extras: dict[str, Any]
    sent_ms: int


class _Audience(BaseModel):
    registration_id: list[str] = Field(min_length=1, max_length=_AUDIENCE_LIMIT)


class _Android(BaseModel):
    alert: str | None = None
    title: str | None = None
    badge_set_num: int | None = None
    extras: dict[str, Any] = Field(default_factory=dict)


class _Ios(BaseModel):
    alert: str | dict[str, Any] | None = None
    badge: int | str | None = None
    extras: dict[str, Any] = Field(default_factory=dict)


class _Notification(BaseModel):
    alert: str | None = None
    android: _Android | None = None
    ios: _Ios | None = None


class _Push(BaseModel):
    """The parts of a push that are shown to a device; the provider ignores what it does not know."""

    platform: str | list[str]
    audience: _Audience
    notification: _Notification
    cid: str | None = Field(default=None, max_length=64)


class PushFaultSettings(BaseModel):
    """The whole setting: what is not named is normal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pushes: Literal["normal", "refused", "slow", "lost_answer"] = "normal"
    late_seconds: float | None = Field(default=None, ge=0, le=86_400)
    count: int | None = Field(default=None, ge=1, le=1_000_000)


class PushProvider:
    def __init__(self, keys: PushKeys, store: Store, clock: Clock, *, late_seconds: float) -> None:
        self._authorization = "Basic " + base64.b64encode(f"{keys.app_key}:{keys.master_secret}".encode()).decode()
        self._clock = clock
        self._pushed = Shelf(store, "push.messages", Pushed, limit=_KEPT)
        self._msg_ids: OrderedDict[str, str] = OrderedDict((p.cid, p.msg_id) for p in self._pushed if p.cid is not None)
        self._numbers = count()
        self._lever = Lever()
        self._default_late_seconds = self._late_seconds = late_seconds

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/push/v3/push", self._push),
            web.get("/push/messages", self._device),
            web.get("/push/faults", self._show_faults),
            web.put("/push/faults", self._put_faults),
        ]

    async def _push(self, request: web.Request) -> web.StreamResponse:
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), self._authorization.encode()):
            return _error(401, 1004, "Authen failed")
        try:
            push = _Push.model_validate_json(await request.read())
        except ValidationError:
            return _error(400, 1003, "Invalid parameter")
        fault = self._lever.take()
        if fault == "refused":
            return _error(429, 2002, "Rate limit exceeded")
        msg_id = self._accept(push)
        if fault in ("slow", "lost_answer"):
            await asyncio.sleep(self._late_seconds)
        if fault == "lost_answer" and request.transport is not None:
            request.transport.abort()
        return _json(200, {"sendno": "0", "msg_id": msg_id})

    def _accept(self, push: _Push) -> str:
        if push.cid is not None and (known := self._msg_ids.get(push.cid)) is not None:
            return known
        now_ms = self._clock.now_ms()
        msg_id = f"{now_ms}{next(self._numbers) % 100_000:05d}"
        notification = push.notification
        android, ios = notification.android or _Android(), notification.ios or _Ios()
        for device_id in dict.fromkeys(push.audience.registration_id):
            pushed = Pushed(
                msg_id=msg_id,
                cid=push.cid,
                device_id=device_id,
                title=android.title,
                alert=notification.alert or android.alert or (ios.alert if isinstance(ios.alert, str) else "") or "",
                badge=android.badge_set_num if not isinstance(ios.badge, int) else ios.badge,
                extras=android.extras or ios.extras,
                sent_ms=now_ms,
            )
            self._pushed.put(f"{msg_id}:{device_id}", pushed)
        if push.cid is not None:
            self._msg_ids[push.cid] = msg_id
            while len(self._msg_ids) > _CIDS_KEPT:
                self._msg_ids.popitem(last=False)
        return msg_id

    def arrived(self, device_id: str, content: dict[str, Any]) -> None:
        """A browser opened a push: show it with the others of its device."""
        now_ms = self._clock.now_ms()
        msg_id = f"{now_ms}{next(self._numbers) % 100_000:05d}"
        pushed = Pushed(
            msg_id=msg_id,
            cid=content.get("id"),
            device_id=device_id,
            title=content.get("title"),
            alert=content.get("text", ""),
            badge=content.get("badge"),
            extras=content.get("extras", {}),
            sent_ms=now_ms,
        )
        self._pushed.put(f"{msg_id}:{device_id}", pushed)

    async def _device(self, request: web.Request) -> web.Response:
        """What arrived at a device, newest first; without `?device_id=` what arrived anywhere."""
        device_id = request.query.get("device_id")
        arrived = (pushed for pushed in self._pushed.newest() if device_id in (None, pushed.device_id))
        shown = [pushed for pushed, _ in zip(arrived, range(_SHOWN), strict=False)]
        return _json(
            200,
            [
                {
                    "msg_id": pushed.msg_id,
                    "cid": pushed.cid,
                    "device_id": pushed.device_id,
                    "title": pushed.title,
                    "alert": pushed.alert,
                    "badge": pushed.badge,
                    "extras": pushed.extras,
                    "sent_at": iso_ms(pushed.sent_ms),
                }
                for pushed in shown
            ],
        )

    async def _show_faults(self, request: web.Request) -> web.Response:
        return _json(200, self._faults())

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            settings = PushFaultSettings.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            return _error(400, 1003, ".".join(map(str, error.errors()[0]["loc"])))
        self._lever.move(settings.pushes, settings.count)
        self._late_seconds = self._default_late_seconds if settings.late_seconds is None else settings.late_seconds
        return _json(200, self._faults())

    def _faults(self) -> dict[str, Any]:
        return {"pushes": self._lever.mode, "late_seconds": self._late_seconds, "remaining": self._lever.remaining}


def _error(status: int, code: int, message: str) -> web.Response:
    return _json(status, {"error": {"code": code, "message": message}})


def _json(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
