"""Recordings, decoded and encoded anew. Runs in a worker process only: decoders meet hostile bytes here.

Every upload becomes the same two renditions, mono at 48 kHz: AAC in M4A with its index in front (iOS, WeChat) and Opus in Ogg
(all else), as long as the source to within 50 ms. Tags and pictures go.
"""

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av
from av.audio.resampler import AudioResampler
from av.stream import Disposition

from media.domain import (
    CODEC_SLACK_MS,
    MAX_VOICE_MS,
    Encoded,
    Encoding,
    Format,
    MediaKind,
    Rendition,
    voice_duration_fits,
)
from media.errors import MediaDamaged, MediaDurationRefused, MediaUnsupported

_DEMUXERS: Final = {
    Format.MP4: "mov",
    Format.MP3: "mp3",
    Format.ADTS: "aac",
    Format.OGG: "ogg",
    Format.WEBM: "matroska",
    Format.AMR: "amr",
    Format.WAV: "wav",
}
_CODECS: Final = frozenset(
    {"aac", "mp3", "mp3float", "opus", "libopus", "vorbis", "amrnb", "amr_nb", "amrwb", "amr_wb"}
    | {"pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"}
)
_RATE: Final = 48_000
_SAMPLE_BYTES: Final = 2
_MAX_BYTES: Final = (MAX_VOICE_MS + CODEC_SLACK_MS + 1) * _RATE // 1000 * _SAMPLE_BYTES
_FRAME_SAMPLES: Final = 960
_GAP_MS: Final = 100
_MISSING_MS: Final = 120
"""A file that declares its length and holds less than that by more than this was cut."""


def prepare() -> None:
    """Set the decoders up, once a process: they do not talk."""
    av.logging.set_level(None)


def encode_voice(data: bytes, found: Format) -> Encoded:
    """Both renditions. Raises MediaUnsupported for film or another codec, MediaDamaged, MediaDurationRefused."""
    samples = _decode(data, found)
    duration_ms = round(len(samples) * 1000 / (_RATE * _SAMPLE_BYTES))
    if not voice_duration_fits(duration_ms):
        raise MediaDurationRefused()
    return Encoded(
        kind=MediaKind.VOICE,
        renditions={
            Rendition.M4A: Encoding("audio/mp4", _encode(samples, "ipod", "aac", 64_000, {"moov_size": _index_bytes(samples)})),
            Rendition.OPUS: Encoding("audio/ogg", _encode(samples, "ogg", "libopus", 32_000, {})),
        },
        duration_ms=duration_ms,
    )


def _decode(data: bytes, found: Format) -> bytearray:
    """The recording as 16-bit samples, mono, 48 kHz. The demuxer is named, so that none which opens other files is tried."""
    with av.open(io.BytesIO(data), "r", format=_DEMUXERS[found]) as container:
        if any(not s.disposition & Disposition.attached_pic for s in container.streams.video):
            raise MediaUnsupported()
        if not container.streams.audio:
            raise MediaUnsupported()
        stream = container.streams.audio[0]
        if stream.codec_context is None or stream.codec_context.name not in _CODECS:
            raise MediaUnsupported()
        declared_ms = _declared_ms(stream) if found is Format.MP4 else None
        samples = bytearray()
        resampler = AudioResampler(format="s16", layout="mono", rate=_RATE)
        for frame in container.decode(stream):
            _fill_gap(samples, frame, stream)
            _append(samples, resampler.resample(frame))
        _append(samples, resampler.resample(None))
    if declared_ms is not None and len(samples) * 1000 // (_RATE * _SAMPLE_BYTES) < declared_ms - _MISSING_MS:
        raise MediaDamaged()
    return samples


def _declared_ms(stream: Any) -> int | None:
    """How long the index of the file says that the recording is. Asked of MP4 only: what others say is an estimate."""
    if stream.duration is None or stream.time_base is None:
        return None
    return int(stream.duration * stream.time_base * 1000)


def _fill_gap(samples: bytearray, frame: Any, stream: Any) -> None:
    """Silence where the recorder paused, so that the rest keeps its time."""
    if frame.pts is None or frame.time_base is None:
        return
    start = (stream.start_time or 0) * stream.time_base
    behind_ms = int((frame.pts * frame.time_base - start) * 1000) - len(samples) * 1000 // (_RATE * _SAMPLE_BYTES)
    if behind_ms > _GAP_MS:
        if behind_ms > MAX_VOICE_MS:
            raise MediaDurationRefused()
        samples.extend(bytes(behind_ms * _RATE // 1000 * _SAMPLE_BYTES))


def _append(samples: bytearray, frames: list[Any]) -> None:
    """Take decoded samples in; a recording that is longer than one may be is not decoded to its end."""
    for frame in frames:
        samples.extend(memoryview(frame.planes[0])[: frame.samples * _SAMPLE_BYTES])
    if len(samples) > _MAX_BYTES:
        raise MediaDurationRefused()


def _index_bytes(samples: bytearray) -> str:
    """Room for the index in front of the sound, so that playing begins before all is there. (The muxer's own way of moving it
    there needs a file with a name.)"""
    return str(4096 + 8 * (len(samples) // (1024 * _SAMPLE_BYTES)))


def _encode(samples: bytearray, muxer: str, codec: str, bit_rate: int, options: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=muxer, options={"fflags": "+bitexact", **options}) as container:
        stream: Any = container.add_stream(codec, rate=_RATE, layout="mono")
        stream.bit_rate = bit_rate
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for frame in _frames(samples):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def _frames(samples: bytearray) -> Iterator[Any]:
    """The samples in frames of 20 ms; the last one may be shorter."""
    step = _FRAME_SAMPLES * _SAMPLE_BYTES
    for at in range(0, len(samples), step):
        piece = bytes(samples[at : at + step])
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // _SAMPLE_BYTES, align=1)
        frame.planes[0].update(piece)
        frame.sample_rate = _RATE
        frame.time_base = Fraction(1, _RATE)
        frame.pts = at // _SAMPLE_BYTES
        yield frame
