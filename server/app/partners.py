"""How the outside world is reached: the hospital, the SMS provider, the payment gateway. Where a setting names none, the
simulator that runs beside us."""

from pathlib import Path

import orjson

from accounts.sms import AliyunSmsConfig
from billing.wechatpay import WechatPayConfig
from ehr_view.dicomweb import DicomWebClient
from ehr_view.fhir import FhirClient
from ehr_view.hospital import FhirHospital
from server.app.settings import Settings


def hospital_of(settings: Settings) -> FhirHospital:
    """FHIR R4 and DICOMweb, with one bearer token for both."""
    token = settings.hospital_token_file
    headers = {} if token is None else {"Authorization": f"Bearer {token.read_text().strip()}"}
    return FhirHospital(
        FhirClient(settings.fhir_url or f"{settings.simulators_url}/fhir", headers=headers),
        DicomWebClient(settings.dicomweb_url or f"{settings.simulators_url}/dicomweb", headers=headers),
    )


def sms_config(settings: Settings) -> AliyunSmsConfig:
    """Keys and signature, from the provider's own JSON file."""
    path = settings.sms_access_key_file
    if path is None:
        from simulators.keys import ensure_sms_keys

        path = ensure_sms_keys(settings.data_dir).config_path
    config = orjson.loads(path.read_bytes())
    return AliyunSmsConfig(
        url=settings.sms_url or f"{settings.simulators_url}/sms",
        access_key_id=config["access_key_id"],
        access_key_secret=config["access_key_secret"],
        sign_name=config["sign_name"],
    )


def wechat_config(settings: Settings) -> WechatPayConfig:
    """Merchant, keys and certificates; paths in the file are relative to it."""
    path = settings.wechatpay_config_file
    if path is None:
        from simulators.keys import ensure_wechat_keys

        path = ensure_wechat_keys(settings.data_dir).config_path
    config = orjson.loads(path.read_bytes())
    callbacks = f"{settings.public_url}/api/v1/callbacks/wechatpay"
    return WechatPayConfig(
        mchid=config["mchid"],
        appid=config["appid"],
        api_v3_key=config["api_v3_key"],
        merchant_serial=config["merchant_serial"],
        merchant_private_key=(path.parent / Path(config["merchant_private_key_path"])).read_bytes(),
        platform_serial=config["platform_serial"],
        platform_certificate=(path.parent / Path(config["platform_certificate_path"])).read_bytes(),
        base_url=(settings.wechatpay_url or settings.simulators_url).rstrip("/"),
        payment_notify_url=f"{callbacks}/payments",
        refund_notify_url=f"{callbacks}/refunds",
    )
