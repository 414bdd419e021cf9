"""What crosses the network about media."""

from pydantic import Field, RootModel

from media.domain import MediaKind, Rendition
from server.kernel.wire import Id, QueryModel, WireModel


class ImageAnswer(WireModel):
    """A picture as it is kept. `mime` and `bytes` are of the rendition that a link gives when none is named."""

    media_id: Id
    kind: MediaKind
    mime: str
    bytes: int
    width: int
    height: int


class VoiceAnswer(WireModel):
    """A recording as it is kept."""

    media_id: Id
    kind: MediaKind
    mime: str
    bytes: int
    duration_ms: int


class MediaAnswer(RootModel[ImageAnswer | VoiceAnswer]):
    """What an upload became."""


class LinkRequest(WireModel):
    """Which rendition is wanted: `original` or `thumbnail` of a picture, `m4a` or `opus` of a recording. Without one: the
    original, or M4A."""

    rendition: Rendition | None = Field(default=None, strict=False)


class LinkAnswer(WireModel):
    """A link on this server. Fetching it needs the same account."""

    url: str
    expires_in_seconds: int


class ContentQuery(QueryModel):
    """What a link carries. Missing or wrong, the link is refused as a whole."""

    rendition: str = ""
    token: str = ""
