"""The hospital over HTTP: `/fhir/…` (FHIR R4 REST), `/dicomweb/…` (QIDO-RS, WADO-RS), and its levers at `/hospital/…`."""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web
from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.kernel.clock import Clock, iso
from server.kernel.ids import new_id
from simulators.hospital import fhir, hl7
from simulators.hospital.catalogue import PANELS
from simulators.hospital.dicom import CT_STEP_MM, instance_metadata, uid
from simulators.hospital.faults import HUGE_LAB_ROWS, HUGE_NOTE_BYTES, Faults, FaultSettings
from simulators.hospital.fhir import Resource
from simulators.hospital.findings import Finding, found_now
from simulators.hospital.history import History, Study, history_on
from simulators.hospital.people import Person, find_person
from simulators.shelf import Shelf, Store

FHIR_JSON: Final = "application/fhir+json"
_KNOWN: Final = 100_000
_OWNERS: Final = 100_000
_MOST: Final = 500
_USUAL: Final = 50
_NONSENSE: Final = b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observ\xe4'


class Known(msgspec.Struct, frozen=True):
    """A person whom the hospital was asked for; `name` only where it was told."""

    number: str
    name: str | None = None


class _Registration(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    number: str = Field(max_length=18)
    name: str = Field(min_length=1, max_length=64)


class Hospital:
    """The stand-in. Whoever has a valid identity number is its patient."""

    def __init__(self, store: Store, clock: Clock, *, late_seconds: float, hl7_port: int = 0) -> None:
        self._hl7_port = hl7_port
        self._clock = clock
        self._faults = Faults(late_seconds)
        self._known = Shelf(store, "hospital.known", Known, limit=_KNOWN)
        self._owners: OrderedDict[str, Person] = OrderedDict()
        self._found_now: OrderedDict[str, dict[str, dict[str, list[Resource]]]] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/fhir/metadata", self._metadata),
            web.get("/fhir/{kind:[A-Za-z]+}", self._search),
            web.post("/fhir/{kind:[A-Za-z]+}/_search", self._search),
            web.get("/fhir/{kind:[A-Za-z]+}/{id:[A-Za-z0-9.-]{1,64}}", self._read),
            web.get("/dicomweb/studies", self._dicom(self._list_studies)),
            web.get("/dicomweb/studies/{study}/series", self._dicom(self._list_series)),
            web.get("/dicomweb/studies/{study}/series/{series}/instances", self._dicom(self._list_instances)),
            web.get("/dicomweb/studies/{study}/series/{series}/metadata", self._dicom(self._list_instances)),
            web.get("/dicomweb/studies/{study}/series/{series}/instances/{instance}/metadata", self._dicom(self._instance)),
            web.get("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered", self._dicom(self._frame)),
            web.get(
                "/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/rendered",
                self._dicom(self._frame),
            ),
            web.get("/hospital/faults", self._shown_faults),
            web.put("/hospital/faults", self._put_faults),
            web.post("/hospital/patients", self._register),
            web.post("/hospital/hl7", self._send_hl7),
            web.post("/hospital/results", self._find_result),
        ]

    # FHIR

    async def _metadata(self, request: web.Request) -> web.Response:
        rest = [{"mode": "server", "resource": [{"type": kind} for kind in fhir.RESOURCES]}]
        statement = {"resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1"}
        return _fhir({**statement, "format": ["json"], "rest": rest})

    async def _search(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind not in fhir.RESOURCES:
            return _fhir(fhir.outcome("not-supported", "unknown resource type"), 404)
        mode = await self._faults.take(kind)
        if (broken := _broken(mode)) is not None:
            return broken
        form = dict(request.query)
        if request.method == "POST":
            form |= {key: str(value) for key, value in (await request.post()).items()}
        try:
            count = max(1, min(_MOST, int(form.get("_count", _USUAL))))
            offset = max(0, int(form.get("_offset", 0)))
        except ValueError:
            return _fhir(fhir.outcome("invalid", "a page is a number"), 400)
        items = self._found(kind, form, other=mode == "other_patient")
        if items is None:
            return _fhir(fhir.outcome("required", "name a patient"), 400)
        base = f"{request.url.origin()}/fhir"
        page = items[offset : offset + count]
        more = offset + count < len(items)
        words = {**form, "_count": str(count), "_offset": str(offset + count)}
        next_url = (
            str(request.url.origin().with_path(f"/fhir/{kind}").with_query(words)) if more and kind != "Patient" else None
        )
        found = fhir.bundle(base, page, total=len(items), self_url=f"{base}/{kind}", next_url=next_url)
        return _fhir(found)

    def _found(self, kind: str, form: dict[str, str], *, other: bool) -> list[Resource] | None:
        if kind == "Patient":
            person = self._identified(form.get("identifier", ""))
            if person is None:
                return [] if "identifier" in form else None
            return [fhir.patient(_stranger(person) if other else person, self._name_of(person))]
        person_id = form.get("patient") or form.get("subject") or ""
        if not person_id:
            return None
        items = [item for name in person_id.split(",") for item in self._of(name.removeprefix("Patient/"), kind, other=other)]
        for word, when in (("_lastUpdated", _changed_at), ("date", _taken_at)):
            if since := form.get(word, "").removeprefix("ge"):
                items = [item for item in items if when(item) >= since]
        if (category := form.get("category", "").rpartition("|")[2]) and kind in {"DiagnosticReport", "Observation"}:
            items = [item for item in items if category in _codes(item.get("category", []))]
        if code := form.get("code", "").rpartition("|")[2]:
            items = [item for item in items if code in _codes([item.get("code", {})])]
        return items

    def _of(self, person_id: str, kind: str, *, other: bool) -> list[Resource]:
        known = self._known.find(person_id)
        person = find_person(known.number) if known is not None else None
        return [] if person is None else self._resources(_stranger(person) if other else person, kind)

    def _identified(self, identifier: str) -> Person | None:
        """The person of `system|value`, remembered from now on by the hospital's own id."""
        system, _, number = identifier.rpartition("|")
        person = find_person(number)
        if person is None or (system and system not in {person.system, "urn:oid:2.16.156.10011.1.3"}):
            return None
        if self._known.find(person.id) is None:
            self._known.put(person.id, Known(person.number))
        return person

    def _name_of(self, person: Person) -> str | None:
        known = self._known.find(person.id)
        return known.name if known is not None else None

    def _history(self, person: Person) -> History:
        return history_on(person, self._hour())

    def _hour(self) -> datetime:
        return self._clock.now().replace(minute=0, second=0, microsecond=0)

    def _owner_or_all(self, name: str) -> Iterator[Person]:
        """Whose a thing of this id or UID is, if it was ever listed; else all whom the hospital knows, the newest first."""
        if (owner := self._owners.get(name)) is not None:
            yield owner
            return
        for known in self._known.newest():
            if (person := find_person(known.number)) is not None:
                yield person

    def _remember(self, person: Person, names: Iterable[str]) -> None:
        for name in names:
            self._owners[name] = person
        while len(self._owners) > _OWNERS:
            self._owners.popitem(last=False)

    def _resources(self, person: Person, kind: str) -> list[Resource]:
        history = self._history(person)
        items = list(_cached_resources(person, self._hour(), kind))
        if kind == "DocumentReference":
            self._remember(person, (visit.id for visit in history.visits))
        if kind == "ImagingStudy":
            self._remember(person, (uid(study.id) for study in history.studies))
        items += [item for each in self._found_now.get(person.id, {}).values() for item in each.get(kind, ())]
        if self._faults.huge_lab and kind in {"DiagnosticReport", "Observation"}:
            items += _huge_lab(person, self._hour(), kind)
        if self._faults.huge_note and kind == "DocumentReference" and items:
            items[-1] = _huge_note(items[-1])
        return items

    async def _read(self, request: web.Request) -> web.Response:
        """One resource by its id. Every Binary of the hospital is a note's text."""
        kind, wanted = request.match_info["kind"], request.match_info["id"]
        if kind not in fhir.RESOURCES:
            return _fhir(fhir.outcome("not-supported", "unknown resource type"), 404)
        mode = await self._faults.take(kind)
        if (broken := _broken(mode)) is not None:
            return broken
        if kind == "Patient":
            known = self._known.find(wanted)
            person = find_person(known.number) if known is not None else None
            if person is not None:
                found = _stranger(person) if mode == "other_patient" else person
                return _fhir(fhir.patient(found, self._name_of(person)))
            return _fhir(fhir.outcome("not-found", "there is no such resource"), 404)
        for person in self._owner_or_all(wanted):
            for item in _cached_resources(person, self._hour(), kind):
                if item["id"] == wanted:
                    return _fhir(item)
        return _fhir(fhir.outcome("not-found", "there is no such resource"), 404)

    # DICOMweb

    def _dicom(self, handler: Callable[[web.Request, Person, Study], Awaitable[web.Response]]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            mode = await self._faults.take("dicomweb")
            if (broken := _broken(mode)) is not None:
                return broken
            found = self._study(request)
            if found is None:
                return web.Response(status=404)
            person, study = found
            return await handler(request, _stranger(person) if mode == "other_patient" else person, study)

        return handle

    def _study(self, request: web.Request) -> tuple[Person, Study] | None:
        wanted, mrn = request.match_info.get("study"), request.query.get("PatientID") or request.query.get("00100020")
        for person in self._owner_or_all(wanted or ""):
            if wanted is None and person.mrn != mrn:
                continue
            for study in self._history(person).studies:
                if wanted is None or uid(study.id) == wanted:
                    series = request.match_info.get("series")
                    return (person, study) if series in (None, uid(study.id, 1)) else None
        return None

    async def _list_studies(self, request: web.Request, person: Person, study: Study) -> web.Response:
        return _dicom_json([_study_attributes(person, each) for each in self._history(person).studies])

    async def _list_series(self, request: web.Request, person: Person, study: Study) -> web.Response:
        attributes = {
            "00080060": {"vr": "CS", "Value": [study.modality]},
            "0020000D": {"vr": "UI", "Value": [uid(study.id)]},
            "0020000E": {"vr": "UI", "Value": [uid(study.id, 1)]},
            "00201209": {"vr": "IS", "Value": [study.frames]},
            "00100020": {"vr": "LO", "Value": [person.mrn]},
        }
        return _dicom_json([attributes])

    async def _list_instances(self, request: web.Request, person: Person, study: Study) -> web.Response:
        return _dicom_json([_instance(study, number, person) for number in range(1, study.frames + 1)])

    async def _instance(self, request: web.Request, person: Person, study: Study) -> web.Response:
        number = _number(study, request.match_info["instance"])
        return web.Response(status=404) if number is None else _dicom_json([_instance(study, number, person)])

    async def _frame(self, request: web.Request, person: Person, study: Study) -> web.Response:
        number = _number(study, request.match_info["instance"])
        if number is None or request.match_info.get("frame", "1") != "1":
            return web.Response(status=404)
        try:
            window = _window(request.query)
        except ValueError:
            return web.Response(status=400)
        data = await asyncio.to_thread(_draw, study.id, study.modality, study.look, number, study.frames, window)
        return web.Response(body=data, content_type="image/jpeg")

    # Levers

    async def _shown_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.shown())

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            self._faults.put(FaultSettings.model_validate_json(await request.read()))
        except ValidationError as error:
            return web.json_response({"errors": [e["msg"] for e in error.errors()]}, status=422)
        return web.json_response(self._faults.shown())

    async def _register(self, request: web.Request) -> web.Response:
        """Tell the hospital a patient's name: from then on it sends it."""
        try:
            told = _Registration.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"errors": [e["msg"] for e in error.errors()]}, status=422)
        person = find_person(told.number)
        if person is None:
            return web.json_response({"errors": ["not an identity number"]}, status=422)
        self._known.put(person.id, Known(person.number, told.name))
        return web.json_response({"id": person.id, "mrn": person.mrn}, status=201)

    async def _find_result(self, request: web.Request) -> web.Response:
        """The laboratory has found something, which stands in the chart from now on; the same `report` again corrects it."""
        try:
            told = Finding.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"errors": [e["msg"] for e in error.errors()]}, status=422)
        person = find_person(told.number)
        if person is None or told.panel not in PANELS:
            return web.json_response({"errors": ["no such identity number or panel"]}, status=422)
        if self._known.find(person.id) is None:
            self._known.put(person.id, Known(person.number))
        reports = self._found_now.setdefault(person.id, {})
        before = reports.get(told.report, {}).get("Observation", [])
        version = 1 + max((int(each["meta"]["versionId"]) for each in before), default=0)
        at = datetime.fromisoformat(before[0]["effectiveDateTime"]) if before else None
        reports[told.report] = found_now(self._history(person), told, version, self._clock.now(), at)
        while len(self._found_now) > _MOST:
            self._found_now.popitem(last=False)
        return web.json_response({"id": person.id, "report": told.report, "version": version}, status=201)

    async def _send_hl7(self, request: web.Request) -> web.Response:
        """Send a message over MLLP; what was answered."""
        try:
            sending = hl7.Sending.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"errors": [e["msg"] for e in error.errors()]}, status=422)
        person, port = find_person(sending.number), sending.port or self._hl7_port
        if person is None or port == 0 or sending.panel not in PANELS:
            what = "identity number" if person is None else "panel" if port else "port that listens"
            return web.json_response({"errors": [f"no such {what}"]}, status=422)
        control_id = sending.control_id or new_id()[:20]
        message = hl7.message_of(sending, person, control_id, self._clock.now())
        try:
            answer = await hl7.send(port, message, sending.fault)
        except OSError:
            return web.json_response({"errors": ["nobody listens"]}, status=502)
        return web.json_response({**hl7.verdict_of(answer), "sent_as": control_id, "answer": answer, "mrn": person.mrn})


@lru_cache(maxsize=512)
def _cached_resources(person: Person, hour: datetime, kind: str) -> tuple[Resource, ...]:
    return tuple(fhir.resources_of(history_on(person, hour), kind))


def _stranger(person: Person) -> Person:
    """Somebody else, whose data are sent by mistake."""
    number = "P00000002" if person.number == "P00000001" else "P00000001"
    other = find_person(number)
    if other is None:
        raise LookupError(number)
    return other


def _changed_at(resource: Resource) -> str:
    return str(resource.get("meta", {}).get("lastUpdated") or resource.get("issued") or _taken_at(resource))


def _taken_at(resource: Resource) -> str:
    return str(resource.get("effectiveDateTime") or resource.get("date") or resource.get("started") or "")


def _codes(concepts: list[Any]) -> Iterator[str]:
    return (coding.get("code", "") for concept in concepts for coding in concept.get("coding", []))


def _broken(mode: str) -> web.Response | None:
    if mode == "down":
        return web.Response(status=503, text="<html><body>Service Unavailable</body></html>", content_type="text/html")
    if mode == "nonsense":
        return web.Response(body=_NONSENSE, content_type=FHIR_JSON)
    return None


def _fhir(resource: Resource, status: int = 200) -> web.Response:
    return web.Response(body=fhir.encode(resource), status=status, content_type=FHIR_JSON)


def _dicom_json(items: list[dict[str, Any]]) -> web.Response:
    return web.Response(body=orjson.dumps(items), content_type="application/dicom+json")


def _study_attributes(person: Person, study: Study) -> dict[str, Any]:
    return {
        "00080020": {"vr": "DA", "Value": [f"{study.at:%Y%m%d}"]},
        "00080061": {"vr": "CS", "Value": [study.modality]},
        "00081030": {"vr": "LO", "Value": [study.description]},
        "00100020": {"vr": "LO", "Value": [person.mrn]},
        "0020000D": {"vr": "UI", "Value": [uid(study.id)]},
        "00201206": {"vr": "IS", "Value": [1]},
        "00201208": {"vr": "IS", "Value": [study.frames]},
    }


def _instance(study: Study, number: int, person: Person) -> dict[str, Any]:
    attributes = instance_metadata(study.id, study.modality, number, person.mrn)
    if study.modality == "CT":
        attributes["00201041"] = {"vr": "DS", "Value": [-CT_STEP_MM * number]}
    return attributes


def _number(study: Study, instance_uid: str) -> int | None:
    return next((n for n in range(1, study.frames + 1) if uid(study.id, 1, n) == instance_uid), None)


def _draw(study_id: str, modality: str, look: str, number: int, count: int, window: tuple[float, float] | None) -> bytes:
    """The drawing libraries come with the first picture: most runs never need them."""
    from simulators.hospital.images import rendered

    return rendered(study_id, modality, look, number, count, window)


def _window(query: MultiMapping[str]) -> tuple[float, float] | None:
    words = query.get("window")
    if words is None:
        return None
    center, width, *_ = words.split(",")
    return float(center), float(width)


def _huge_note(note: Resource) -> Resource:
    text = "患者病情平稳，继续目前治疗方案，定期复查。\n" * (HUGE_NOTE_BYTES // 64)
    attachment = {"contentType": "text/plain; charset=utf-8", "data": base64.b64encode(text.encode()).decode()}
    return {**note, "content": [{"attachment": attachment}]}


@lru_cache(maxsize=4)
def _huge_lab(person: Person, hour: datetime, kind: str) -> list[Resource]:
    """One report with thousands of rows, as an export that went wrong makes it."""
    history = history_on(person, hour)
    first = history.reports[0]
    key = next(r for r in first.results if not isinstance(r.value, str))
    rows = []
    for number in range(HUGE_LAB_ROWS):
        row = fhir.observation(history, first, key)
        rows.append({**row, "id": f"huge-{number}", "code": {"text": f"导出项目 {number + 1}"}})
    if kind == "Observation":
        return rows
    at = iso(history.visits[-1].at + timedelta(hours=1))
    return [
        {
            "resourceType": "DiagnosticReport",
            "id": "huge",
            "status": "final",
            "category": [{"coding": [{"code": "LAB"}]}],
            "code": {"coding": [{"system": fhir.LOINC, "code": PANELS["cbc"].loinc}], "text": "批量导出"},
            "subject": {"reference": f"Patient/{history.person.id}"},
            "effectiveDateTime": at,
            "issued": at,
            "result": [{"reference": f"Observation/{row['id']}"} for row in rows],
        }
    ]
