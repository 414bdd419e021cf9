"""The worker process, `python -m media.worker`: takes one upload after another on standard input, answers on standard output.

It has no secrets, no network use, little memory and no way to write files, and a job that lasts too long ends it, whatever
the decoder is doing. It goes when its input ends, so that none outlives the program that started it.

Frames, both ways: 4 bytes of length, a JSON head, then as many bytes as the head says. Job: `{"format", "size"}`; answer:
`{"refused": code}` or `{"kind", "width", "height", "duration_ms", "renditions": [[name, mime, size], …]}`.
"""

import json
import signal
import sys
from typing import Any, Final

from media import pictures, voices
from media.domain import IMAGE_FORMATS, Encoded, Format
from media.errors import MediaDamaged, MediaTooLarge, MediaUnsupported
from media.formats import hides_another
from media.structure import is_whole
from server.kernel.confined import confine, open_pipes, read_head, write_answer
from server.kernel.errors import DomainError

_NICENESS: Final = 5


def main(memory_bytes: int, limit_seconds: int) -> None:
    """Work until the input ends. `limit_seconds` is for one job, by the wall clock."""
    jobs, answers = open_pipes()
    pictures.prepare()
    voices.prepare()
    confine(memory_bytes, niceness=_NICENESS)
    while (line := read_head(jobs)) is not None:
        head: dict[str, Any] = json.loads(line)
        data = jobs.read(head["size"])
        if len(data) < head["size"]:
            return
        signal.alarm(limit_seconds)
        answer, contents = _answer(data, Format(head["format"]))
        signal.alarm(0)
        write_answer(answers, json.dumps(answer).encode(), *contents)


def _answer(data: bytes, found: Format) -> tuple[dict[str, Any], list[bytes]]:
    try:
        encoded = encode(data, found)
    except DomainError as refusal:
        return {"refused": refusal.code}, []
    except MemoryError:
        return {"refused": MediaTooLarge.code}, []
    except Exception:  # decoders raise what they like at broken bytes; whatever it is, the upload is to blame
        return {"refused": MediaDamaged.code}, []
    renditions = [[name.value, encoding.mime, len(encoding.data)] for name, encoding in encoded.renditions.items()]
    head = {
        "kind": encoded.kind.value,
        "width": encoded.width,
        "height": encoded.height,
        "duration_ms": encoded.duration_ms,
        "renditions": renditions,
    }
    return head, [encoding.data for encoding in encoded.renditions.values()]


def encode(data: bytes, found: Format) -> Encoded:
    """The upload made anew: nothing hidden in it, nothing missing, decoded, encoded."""
    if hides_another(data):
        raise MediaUnsupported()
    if not is_whole(data, found):
        raise MediaDamaged()
    return pictures.encode_picture(data, found) if found in IMAGE_FORMATS else voices.encode_voice(data, found)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
