"""What of pushing crosses the network."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from server.kernel.wire import WireModel


class PushKeysIn(WireModel):
    """The browser's, in base64url, as `PushSubscription.toJSON()` gives them: 65 bytes and 16."""

    p256dh: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{87}=?$")]
    auth: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{22}(==)?$")]


class AppSubscription(WireModel):
    """An app: the registration id that the push provider gave it."""

    channel: Literal["app"]
    registration_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]


class WebSubscription(WireModel):
    """A browser: its push service's endpoint, and its keys."""

    channel: Literal["web"]
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,1000}$")]
    keys: PushKeysIn


class PushSubscriptionIn(WireModel):
    subscription: Annotated[AppSubscription | WebSubscription, Field(discriminator="channel")]


class PushSubscriptionOut(WireModel):
    """Where this device is reached now, by whichever channel it asked for last."""

    device_id: str
    channel: Literal["app", "web"]


class PushKeyOut(WireModel):
    """`applicationServerKey` for `pushManager.subscribe`."""

    public_key: str
