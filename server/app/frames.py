"""WebSocket frames and events in them: what is written to sockets, made without the libraries that accept them."""

import struct
from typing import Final

_TEXT: Final = 0x81
_SHORT: Final = struct.Struct("!BB")
_MIDDLE: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def frame(text: bytes) -> bytes:
    """`text` (UTF-8) as one whole WebSocket text frame from a server, ready for any number of sockets."""
    size = len(text)
    if size < 126:
        return _SHORT.pack(_TEXT, size) + text
    if size < 65_536:
        return _MIDDLE.pack(_TEXT, 126, size) + text
    return _LONG.pack(_TEXT, 127, size) + text


def unframe(data: bytes) -> bytes:
    """The text of a `frame`: what polling clients get."""
    return data[{126: 4, 127: 10}.get(data[1], 2) :]


def event_frame(event: str, body: bytes) -> bytes:
    """An event as Socket.IO says it, in one WebSocket frame: `im.live.EventFrame`."""
    return frame(b'42["%b",%b]' % (event.encode(), body))
