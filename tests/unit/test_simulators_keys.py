import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from simulators.keys import ensure_sms_keys, ensure_wechat_keys


def test_many_who_need_the_keys_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(ensure_wechat_keys, [tmp_path] * 4))
    assert len(set(made)) == 1
    assert ensure_wechat_keys(tmp_path) == made[0]
    assert [path.name for path in (tmp_path / "simulators").iterdir()] == ["wechatpay"]


def test_the_config_names_what_the_product_needs_and_secrets_are_the_owners_only(tmp_path: Path) -> None:
    keys = ensure_wechat_keys(tmp_path)
    config = json.loads(keys.config_path.read_text())
    assert set(config) == {
        "mchid",
        "appid",
        "api_v3_key",
        "merchant_serial",
        "merchant_private_key_path",
        "platform_serial",
        "platform_certificate_path",
    }
    assert len(config["api_v3_key"]) == 32
    for secret in (keys.config_path, keys.merchant_private_key_path, keys.platform_private_key_path):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(keys.merchant_certificate_path.read_bytes())
    private = load_pem_private_key(keys.merchant_private_key_path.read_bytes(), None)
    assert certificate.public_key() == private.public_key()
    assert f"{certificate.serial_number:040X}" == config["merchant_serial"]


def test_a_data_folder_that_was_moved_takes_its_keys_along(tmp_path: Path) -> None:
    before = ensure_sms_keys(tmp_path / "a")
    wechat = ensure_wechat_keys(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert ensure_sms_keys(tmp_path / "b").access_key_secret == before.access_key_secret
    moved = ensure_wechat_keys(tmp_path / "b")
    config = json.loads(moved.config_path.read_text())
    assert moved.api_v3_key == wechat.api_v3_key
    assert config["merchant_private_key_path"] == str(tmp_path / "b/simulators/wechatpay/merchant_private_key.pem")
