"""Where a device is reached while it is away, over HTTP. It is the session's own device: nobody names another."""

from yarl import URL

from im.push.domain import Subscription
from im.push.service import PushService
from im.push.wire import PushKeyOut, PushSubscriptionIn, PushSubscriptionOut, WebSubscription
from server.kernel.edge import PATIENT_OR_DOCTOR, Call, Route
from server.kernel.errors import RequestInvalid

_PATH = "/push/subscription"
_TAG = "push"


def routes(pushes: PushService, public_key: str, *, plain_http_host: str | None = None) -> list[Route]:
    """`plain_http_host`: the one push service that may be reached without encryption, since it is a stand-in."""

    async def subscribe(call: Call) -> PushSubscriptionOut:
        body: PushSubscriptionIn = call.body
        wanted = body.subscription
        if isinstance(wanted, WebSubscription):
            host = _host(wanted.endpoint, plain_http_host)
            keys = wanted.keys
            made = await pushes.subscribe_web(
                call.actor, host=host, endpoint=wanted.endpoint, p256dh=keys.p256dh, auth=keys.auth
            )
        else:
            made = await pushes.subscribe_app(call.actor, wanted.registration_id)
        return _out(made)

    async def unsubscribe(call: Call) -> None:
        await pushes.unsubscribe(call.actor)

    async def get_key(call: Call) -> PushKeyOut:
        return PushKeyOut(public_key=public_key)

    return [
        Route(
            "PUT",
            _PATH,
            "put_push_subscription",
            "Say how this device is reached while it is away.",
            PATIENT_OR_DOCTOR,
            subscribe,
            body=PushSubscriptionIn,
            answer=PushSubscriptionOut,
            tag=_TAG,
        ),
        Route(
            "DELETE",
            _PATH,
            "delete_push_subscription",
            "Push nothing to this device.",
            PATIENT_OR_DOCTOR,
            unsubscribe,
            status=204,
            tag=_TAG,
        ),
        Route(
            "GET",
            "/push/key",
            "get_push_key",
            "The key that a browser subscribes for.",
            PATIENT_OR_DOCTOR,
            get_key,
            answer=PushKeyOut,
            tag=_TAG,
        ),
    ]


def _host(endpoint: str, plain_http_host: str | None) -> str:
    """The endpoint's host; with its port for the one that needs no encryption. Raises RequestInvalid."""
    try:
        url = URL(endpoint)
    except ValueError as error:
        raise RequestInvalid(endpoint="is no address") from error
    if url.user is not None or url.password is not None or url.host is None:
        raise RequestInvalid(endpoint="is no address of a push service")
    authority = f"{url.host}:{url.port}"
    if url.scheme == "http" and authority == plain_http_host:
        return authority
    if url.scheme != "https" or not url.is_default_port():
        raise RequestInvalid(endpoint="must be reached by https")
    return url.host


def _out(subscription: Subscription) -> PushSubscriptionOut:
    return PushSubscriptionOut(device_id=subscription.device_id, channel=subscription.channel.value)
