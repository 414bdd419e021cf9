"""Credentials that the stand-ins and the product share, made once and published in one atomic step.

The files of one provider are written into a folder of their own beside the final place, synced, and the folder is renamed
there. Whoever loses that race throws its own away and reads the winner's, so any number of processes may call this at once.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from server.kernel.ids import new_id

_CONFIG: Final = "config.json"
_VALID_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
_VALID_FOR: Final = timedelta(days=365 * 30)
_PEM: Final = serialization.Encoding.PEM

MCHID: Final = "1900000109"
APPID: Final = "wx8888888888888888"


@dataclass(frozen=True, slots=True)
class WechatKeys:
    """Both sides of the merchant's contract with WeChat Pay. Serials are upper-case hexadecimal, as on the wire."""

    config_path: Path
    mchid: str
    appid: str
    api_v3_key: str
    merchant_serial: str
    merchant_private_key_path: Path
    merchant_certificate_path: Path
    platform_serial: str
    platform_private_key_path: Path
    platform_certificate_path: Path


@dataclass(frozen=True, slots=True)
class SmsKeys:
    """The access key of the SMS provider's account."""

    config_path: Path
    access_key_id: str
    access_key_secret: str
    sign_name: str


@dataclass(frozen=True, slots=True)
class PushKeys:
    """The application's account at the push provider."""

    config_path: Path
    app_key: str
    master_secret: str


def ensure_wechat_keys(data_dir: Path) -> WechatKeys:
    """The keys in `data_dir/simulators/wechatpay/`, made at the first call. `config.json` there holds what the product needs:
    `mchid, appid, api_v3_key, merchant_serial, merchant_private_key_path, platform_serial, platform_certificate_path`."""
    folder = _folder(data_dir, "wechatpay")
    config = _ensure(folder, _write_wechat)
    return WechatKeys(
        config_path=folder / _CONFIG,
        mchid=config["mchid"],
        appid=config["appid"],
        api_v3_key=config["api_v3_key"],
        merchant_serial=config["merchant_serial"],
        merchant_private_key_path=folder / "merchant_private_key.pem",
        merchant_certificate_path=folder / "merchant_certificate.pem",
        platform_serial=config["platform_serial"],
        platform_private_key_path=folder / "platform_private_key.pem",
        platform_certificate_path=folder / "platform_certificate.pem",
    )


def ensure_sms_keys(data_dir: Path) -> SmsKeys:
    """The access key in `data_dir/simulators/sms/config.json`: `access_key_id, access_key_secret, sign_name`."""
    folder = _folder(data_dir, "sms")
    config = _ensure(folder, _write_sms)
    return SmsKeys(folder / _CONFIG, config["access_key_id"], config["access_key_secret"], config["sign_name"])


def ensure_push_keys(data_dir: Path) -> PushKeys:
    """The account in `data_dir/simulators/push/config.json`: `app_key, master_secret`."""
    folder = _folder(data_dir, "push")
    config = _ensure(folder, _write_push)
    return PushKeys(folder / _CONFIG, config["app_key"], config["master_secret"])


def _folder(data_dir: Path, provider: str) -> Path:
    return data_dir.resolve() / "simulators" / provider


def _ensure(folder: Path, write: Callable[[Path, Path], None]) -> dict[str, Any]:
    if not (folder / _CONFIG).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.parent / f".{folder.name}-{new_id()}"
        fresh.mkdir(mode=0o700)
        write(fresh, folder)
        try:
            fresh.rename(folder)
        except OSError:  # another process was first: its folder is there and not empty
            shutil.rmtree(fresh)
        _sync(folder.parent)
    config: dict[str, Any] = orjson.loads((folder / _CONFIG).read_bytes())
    return _relocated(folder, config)


def _relocated(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The config with its paths in this folder: a data folder may have been moved since it was written."""
    right = {name: str(folder / Path(value).name) for name, value in config.items() if name.endswith("_path")}
    if all(config[name] == value for name, value in right.items()):
        return config
    config |= right
    aside = folder / f".{_CONFIG}-{new_id()}"
    _write(aside, orjson.dumps(config, option=orjson.OPT_INDENT_2), secret=True)
    aside.replace(folder / _CONFIG)
    return config


def _write_wechat(folder: Path, final: Path) -> None:
    merchant_serial = _write_pair(folder, "merchant", f"Yunzhen merchant {MCHID}")
    platform_serial = _write_pair(folder, "platform", "Tenpay.com Root CA (simulated)")
    _write_config(
        folder,
        mchid=MCHID,
        appid=APPID,
        api_v3_key=secrets.token_hex(16),
        merchant_serial=merchant_serial,
        merchant_private_key_path=str(final / "merchant_private_key.pem"),
        platform_serial=platform_serial,
        platform_certificate_path=str(final / "platform_certificate.pem"),
    )


def _write_sms(folder: Path, final: Path) -> None:
    _write_config(
        folder, access_key_id="LTAI5t" + secrets.token_hex(9), access_key_secret=secrets.token_hex(15), sign_name="云诊"
    )


def _write_push(folder: Path, final: Path) -> None:
    _write_config(folder, app_key=secrets.token_hex(12), master_secret=secrets.token_hex(12))


def _write_config(folder: Path, **values: str) -> None:
    _write(folder / _CONFIG, orjson.dumps(values, option=orjson.OPT_INDENT_2), secret=True)
    _sync(folder)


def _write_pair(folder: Path, name: str, subject: str) -> str:
    """A 2048-bit RSA key and its self-signed certificate. Returns the serial."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    serial = x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_FROM + _VALID_FOR)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(folder / f"{name}_private_key.pem", private, secret=True)
    _write(folder / f"{name}_certificate.pem", certificate.public_bytes(_PEM), secret=False)
    return f"{serial:040X}"


def _write(path: Path, content: bytes, *, secret: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
