"""Who is in the demo: invented people with believable names and well-formed numbers. The same seed gives the same people."""

import hmac
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final

from accounts.domain.identity import check_character, local_day
from server.kernel.actor import StaffRole
from server.kernel.ids import derived_id

_DEPARTMENTS: Final = (
    ("心血管内科", "高血压、冠心病、心律失常、心力衰竭的诊治与长期随访"),
    ("儿科", "小儿发热、咳喘、腹泻、生长发育与疫苗接种咨询"),
    ("消化内科", "胃炎、消化性溃疡、幽门螺杆菌感染、炎症性肠病"),
    ("内分泌科", "糖尿病、甲状腺疾病、痛风、骨质疏松"),
    ("皮肤科", "湿疹、痤疮、荨麻疹、银屑病"),
    ("妇产科", "月经不调、孕期保健、多囊卵巢综合征、更年期综合征"),
    ("呼吸内科", "慢性咳嗽、哮喘、慢阻肺、肺结节随访"),
    ("神经内科", "头痛、眩晕、脑卒中康复、失眠"),
    ("骨科", "颈肩腰腿痛、骨关节炎、运动损伤、术后康复"),
    ("中医科", "脾胃调理、失眠、慢性疲劳、亚健康调养"),
    ("眼科", "近视防控、干眼症、白内障、青光眼"),
    ("耳鼻喉科", "过敏性鼻炎、中耳炎、咽喉炎、耳鸣"),
)
_TITLES: Final = (("主任医师", 10_000), ("副主任医师", 6_000), ("主治医师", 3_000))
_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
# Men's and women's in turn.
_GIVEN: Final = (
    *("建国", "雅琴", "志远", "慧敏", "文博", "晓燕", "俊杰", "淑华", "明哲", "丽娟", "海涛", "静怡"),
    *("思源", "玉兰", "宏伟", "诗涵", "国强", "雨桐", "振宇", "秀英", "子轩", "梦洁", "立群", "佳琪"),
    *("永康", "美玲", "浩然", "春梅", "学文", "欣悦", "启明", "若曦", "家豪", "婉清", "正阳", "素芬"),
)
_PLACES: Final = ("110105", "310104", "440103", "330106", "510107", "420111", "320102", "610113")
_CHILD_EVERY: Final = 8
_CHILD_YEARS: Final = 6

_STAFF: Final[Sequence[tuple[str, str, tuple[StaffRole, ...]]]] = (
    ("admin", "系统管理员", tuple(StaffRole)),
    ("medical", "医务管理员", (StaffRole.MEDICAL_ADMIN,)),
    ("finance", "财务管理员", (StaffRole.FINANCE,)),
    ("auditor", "审计员", (StaffRole.AUDITOR,)),
    ("agent", "客服专员", (StaffRole.AGENT,)),
    ("operator", "运维管理员", (StaffRole.OPERATOR,)),
)


@dataclass(frozen=True, slots=True)
class DemoDoctor:
    """`fee_fen` a consult; `id` is the account's too."""

    id: str
    phone: str
    name: str
    title: str
    department: str
    good_at: str
    fee_fen: int


@dataclass(frozen=True, slots=True)
class DemoPatient:
    """One account and its one patient. A child has a guardian, whose phone the account's is."""

    account_id: str
    patient_id: str
    phone: str
    name: str
    id_number: str
    guardian_name: str | None
    guardian_id_number: str | None


@dataclass(frozen=True, slots=True)
class DemoStaff:
    """`totp_secret` is base32 of 20 bytes."""

    id: str
    username: str
    name: str
    password: str
    totp_secret: str
    roles: tuple[StaffRole, ...]


def list_doctors(count: int) -> list[DemoDoctor]:
    """Spread over departments and titles."""
    return [_doctor(number) for number in range(count)]


def list_patients(count: int, now: datetime) -> list[DemoPatient]:
    """Adults, and every eighth a child of six years."""
    return [_patient(number, local_day(now)) for number in range(count)]


def list_staff(seed: bytes) -> list[DemoStaff]:
    """The first has every role. Passwords and secrets come from the seed alone."""
    return [
        DemoStaff(
            id=derived_id("demo", "staff", username),
            username=username,
            name=name,
            password=b32encode(_secret(seed, f"password/{username}")[:10]).decode().lower(),
            totp_secret=b32encode(_secret(seed, f"totp/{username}")[:20]).decode(),
            roles=roles,
        )
        for username, name, roles in _STAFF
    ]


def _secret(seed: bytes, label: str) -> bytes:
    return hmac.digest(seed, label.encode(), sha256)


def _doctor(number: int) -> DemoDoctor:
    department, good_at = _DEPARTMENTS[number % len(_DEPARTMENTS)]
    title, fee_fen = _TITLES[(number + number // len(_DEPARTMENTS)) % len(_TITLES)]
    return DemoDoctor(
        id=derived_id("demo", "doctor", str(number)),
        phone=f"139{number + 1:08d}",
        name=_name(number),
        title=title,
        department=department,
        good_at=good_at,
        fee_fen=fee_fen,
    )


def _patient(number: int, day: date) -> DemoPatient:
    is_child = number % _CHILD_EVERY == _CHILD_EVERY - 1
    age_years = _CHILD_YEARS if is_child else 24 + number * 7 % 50
    shift = 500  # other people than the doctors
    guardian = len(_SURNAMES)  # the same surname, another name
    return DemoPatient(
        account_id=derived_id("demo", "account", str(number)),
        patient_id=derived_id("demo", "patient", str(number)),
        phone=f"138{number + 1:08d}",
        name=_name(number + shift),
        id_number=_id_number(number, _birthday(day, age_years, number), is_man=_is_man(number + shift)),
        guardian_name=_name(number + shift + guardian) if is_child else None,
        guardian_id_number=_id_number(number, _birthday(day, 35, number), is_man=_is_man(number + shift + guardian))
        if is_child
        else None,
    )


def _birthday(day: date, age_years: int, number: int) -> date:
    """Some day on which somebody of that age, and not yet a year older, was born."""
    return date(day.year - age_years, 1, 1) - timedelta(days=1 + (number * 37 + number // 400) % 300)


def _id_number(number: int, born: date, *, is_man: bool) -> str:
    """By GB 11643; the order number is even for women, odd for men."""
    body = f"{_PLACES[number % len(_PLACES)]}{born:%Y%m%d}{100 + number % 400 * 2 + is_man:03d}"
    return body + check_character(body)


def _name(number: int) -> str:
    return _SURNAMES[number % len(_SURNAMES)] + _GIVEN[_given(number)]


def _is_man(number: int) -> bool:
    return _given(number) % 2 == 0


def _given(number: int) -> int:
    return (number + number // len(_SURNAMES)) % len(_GIVEN)
