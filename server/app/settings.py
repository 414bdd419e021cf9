"""All settings, from `YZ_*` in the environment. The only reader of the environment."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from consult.domain.reminders import parse_ladder
from server.kernel.settings import Duration, PositiveDuration, RateSetting, parse_duration, parse_rate

Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    """Frozen at the start of a process. Secrets redact themselves. A port of 0 is a free one on loopback."""

    model_config = SettingsConfigDict(env_prefix="YZ_", frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field(default="127.0.0.1", description="address that the server listens on")
    port: Port = Field(default=8080, description="port of HTTP and sockets")
    ops_port: Port = Field(default=0, description="port of metrics and health, on loopback")
    sim_port: Port = Field(default=8090, description="port of the simulators")
    data_dir: Path = Field(default=Path("var"), description="folder of the embedded databases, keys, logs and demo")
    mongo_url: SecretStr | None = Field(default=None, description="MongoDB replica set; embedded if not set")
    redis_url: SecretStr | None = Field(default=None, description="Redis; embedded if not set")
    processes: int = Field(default=1, ge=1, le=64, description="number of `serve` processes that `run` starts")
    node: str = Field(
        default="",
        pattern="^[a-z0-9]{0,16}$",
        description="this process's name before its sockets' ids, by which a proxy finds it again; none if not set",
    )
    master_key_file: Path | None = Field(default=None, description="master key; beside the data if not set")
    base_url: str | None = Field(default=None, description="address at which gateways and people reach this server")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="origins besides our own whose pages may open sockets, separated by commas"
    )
    proxies: int = Field(default=0, ge=0, le=10, description="proxies of ours before this server, whose X-Forwarded-For counts")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="what is logged")

    message_rate: RateSetting = Field(default=parse_rate("20/s"), description="messages a connection")
    http_rate: RateSetting = Field(default=parse_rate("50/s"), description="requests an account or address")
    sms_per_address: RateSetting = Field(default=parse_rate("30/10m"), description="SMS codes an address")
    sms_per_phone: RateSetting = Field(default=parse_rate("5/10m"), description="SMS codes a phone")
    sms_resend_after: Duration = Field(default=parse_duration("60s"), description="wait before another SMS code")

    consult_validity: PositiveDuration = Field(default=parse_duration("48h"), description="life of a paid order")
    consult_replies: int = Field(default=3, ge=1, le=1_000_000_000, description="replies that end an order")
    reminders: str = Field(
        default="12h:notice,4h:sms,1h:notice+task",
        description="what is done when so much time is left and no doctor replied; a hospital may decide otherwise",
    )
    quick_patience: Duration = Field(
        default=parse_duration("30m"),
        description="how long who took a quick consult may say and read nothing before it is the pool's again; 0s: no end",
    )
    unpaid_timeout: PositiveDuration = Field(default=parse_duration("30m"), description="life of an unpaid order")
    recall_window: Duration = Field(default=parse_duration("2m"), description="how long a message can be recalled")
    sweep_interval: PositiveDuration = Field(default=parse_duration("1s"), description="how often deadlines are looked for")
    conversation_max: int = Field(default=10_000, ge=10, description="entries a conversation")
    patient_burst: int = Field(default=100, ge=1, description="messages of a patient between two replies")
    patients_per_account: int = Field(default=5, ge=1, le=50, description="patients that an account can hold")

    sms_url: str | None = Field(default=None, description="SMS provider (Dysmsapi); the simulator if not set")
    sms_access_key_file: Path | None = Field(default=None, description="SMS access key; the simulator's if not set")
    wechatpay_url: str | None = Field(default=None, description="WeChat Pay; the simulator if not set")
    wechatpay_config_file: Path | None = Field(default=None, description="merchant identity; the simulator's if not set")

    fhir_url: str | None = Field(default=None, description="the hospital's FHIR R4 server; the simulator if not set")
    dicomweb_url: str | None = Field(default=None, description="the hospital's DICOMweb server; the simulator if not set")
    hospital_token_file: Path | None = Field(default=None, description="bearer token for the hospital's servers")

    hl7_host: str = Field(default="127.0.0.1", description="address that listens for HL7 v2 (MLLP)")
    hl7_port: Port = Field(default=0, description="port of HL7 v2; 0: none (`run` takes a free one)")
    hl7_allow: str = Field(default="127.0.0.0/8,::1", description="networks that may send HL7 v2, separated by commas")
    hl7_tls_certificate_file: Path | None = Field(
        default=None, description="certificate (PEM, with its chain) for HL7 v2 over TLS; in the clear if not set"
    )
    hl7_tls_key_file: Path | None = Field(default=None, description="private key (PEM) of that certificate")
    hl7_tls_client_ca_file: Path | None = Field(
        default=None, description="authority that must have signed the certificates of who sends HL7 v2; none needed if not set"
    )
    hl7_hospital: str = Field(default="default", pattern="^[A-Za-z0-9_-]{1,64}$", description="the hospital that sends HL7 v2")
    hl7_max_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024, description="longest HL7 v2 message")
    hl7_connections: int = Field(default=32, ge=1, le=10_000, description="connections that send HL7 v2 at once")
    hl7_idle: PositiveDuration = Field(default=parse_duration("5m"), description="silence that ends a connection of HL7 v2")
    hl7_kept: PositiveDuration = Field(
        default=parse_duration("30d"), description="how long an accepted HL7 v2 message is kept and known again"
    )

    push_url: str | None = Field(default=None, description="HTTP push provider (JPush); the simulator if not set")
    push_key_file: Path | None = Field(default=None, description="push provider's app key; the simulator's if not set")
    web_push_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(
            "fcm.googleapis.com",
            "updates.push.services.mozilla.com",
            "*.push.services.mozilla.com",
            "*.notify.windows.com",
            "*.push.apple.com",
        ),
        description="browsers' push services that are known, separated by commas; `*.` for all hosts below",
    )
    web_push_contact: str = Field(
        default="mailto:operator@localhost",
        pattern="^(mailto:|https://)",
        description="whom a push service may write to",
    )

    critical_text_after: PositiveDuration = Field(
        default=parse_duration("10m"), description="time to acknowledge a critical value before the doctor is sent an SMS"
    )
    critical_task_after: PositiveDuration = Field(
        default=parse_duration("20m"), description="time after that SMS before the staff has it"
    )
    critical_poll: Duration = Field(
        default=parse_duration("2s"), description="how often the hospital is asked for new results of open orders; 0s: never"
    )
    critical_limits_file: Path | None = Field(default=None, description="the hospital's critical limits; ours if not set")

    sim_callback_retry_scale: float = Field(default=1.0, gt=0, description="factor on the simulated gateway's retry pauses")
    demo_doctors: int = Field(default=12, ge=1, le=10_000, description="doctors of the demo")
    demo_patients: int = Field(default=8, ge=1, le=10_000, description="patients of the demo")

    @field_validator(
        "data_dir",
        "master_key_file",
        "sms_access_key_file",
        "wechatpay_config_file",
        "hospital_token_file",
        "critical_limits_file",
        "push_key_file",
        "hl7_tls_certificate_file",
        "hl7_tls_key_file",
        "hl7_tls_client_ca_file",
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("reminders")
    @classmethod
    def _reads(cls, value: str) -> str:
        parse_ladder(value)
        return value

    @field_validator("hl7_allow")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in value.split(","):
            ip_network(part.strip())
        return value

    @field_validator("allowed_origins", "web_push_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        if (self.hl7_tls_certificate_file is None) != (self.hl7_tls_key_file is None):
            raise ValueError("YZ_HL7_TLS_CERTIFICATE_FILE and YZ_HL7_TLS_KEY_FILE are set together or not at all")
        if self.hl7_tls_client_ca_file is not None and self.hl7_tls_certificate_file is None:
            raise ValueError("YZ_HL7_TLS_CLIENT_CA_FILE needs YZ_HL7_TLS_CERTIFICATE_FILE")
        return self

    @property
    def public_url(self) -> str:
        """Where we are reached, without a slash at the end."""
        return (self.base_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def simulators_url(self) -> str:
        return f"http://127.0.0.1:{self.sim_port}"

    @property
    def key_file(self) -> Path:
        return self.master_key_file or self.data_dir / "keys" / "master.key"


def load_settings() -> Settings:
    """The settings of this process. Raises pydantic's ValidationError, whose text `explain` makes readable."""
    return Settings()


def explain(error: ValidationError) -> list[str]:
    """One line a wrong setting, by its name in the environment; never with its value."""
    return [f"YZ_{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
