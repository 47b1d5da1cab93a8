"""Every setting, typed, in one place: defaults < TOML file < SHANRAQ_* variables < command line.

Secrets are given by reference: `..._file` names a file that holds them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from shanraq.core.errors import InvalidInputError


class InvalidSettingError(InvalidInputError, code="invalid_setting", status=400):
    """A setting is unknown or has a value it cannot have."""


def default_data_dir() -> Path:
    """Return where data lies by default: `/var/lib/shanraq` for root, else the user's data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/shanraq")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "shanraq"


class VisaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A CyberSource / Visa Acceptance merchant. `secret_file` holds the base64 shared secret of `key_id`.

    `scheme` decides which of the rest is needed (docs/visa-adapter.md). Certificates and keys are PEM, but for `p12_file`.
    `more_urls` are further addresses of the same gateway; `request_host` is signed instead of the name of the address.
    """

    url: str = ""
    more_urls: tuple[str, ...] = ()
    endpoint_policy: Literal["round_robin", "least_connections"] = "round_robin"
    scheme: Literal["jwt_hs256", "jwt_rs256", "http_signature", "oauth"] = "jwt_hs256"
    merchant_id: str = ""
    portfolio_id: str = ""
    request_host: str = ""
    key_id: str = ""
    secret_file: str = ""
    p12_file: str = ""
    p12_password_file: str = ""
    oauth_client_id: str = ""
    oauth_client_secret_file: str = ""
    oauth_refresh_token_file: str = ""
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    mle_requests: bool = False
    mle_certificate_file: str = ""
    mle_certificate_name: str = "CyberSource_SJC_US"
    mle_reply_key_id: str = ""
    mle_reply_key_file: str = ""
    notice_key_id: str = ""
    notice_key_file: str = ""
    timeout_seconds: float = 20.0
    index_lag_seconds: float = 10.0


class MastercardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merchant at the Mastercard Gateway (MPGS). `url` is the host of the region or acquirer, `more_urls` others of the same.

    The merchant is known by `password_file` (the API password) or by `certificate_file` and `key_file` (PEM). Files hold the
    secrets; `ca_file` is an authority to trust instead of the system's. Times are in seconds.
    `settlement` is where settlement is read: the gateway's transaction history, or the acquirer's statement with its fees.
    """

    url: str = ""
    more_urls: tuple[str, ...] = ()
    policy: Literal["round_robin", "least_connections"] = "round_robin"
    merchant_id: str = ""
    password_file: str = ""
    reporting_password_file: str = ""
    notification_secret_file: str = ""
    notification_url: str = ""
    certificate_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    version: int = 100
    timeout_seconds: float = 20.0
    settle_seconds: float = 60.0
    undecided_seconds: float = 300.0
    settlement: Literal["history", "statement"] = "history"


class CardHostSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An acquirer's host over ISO 8583. `addresses` are host:port, tried in order; empty texts leave something out.

    `layout` is a name or a file; `tpdu` and `header` are what the layout or framing needs before a message;
    `mac_key_file` holds a key in hex for DE64/128 (in the sandbox: a live key belongs into an HSM). Times are in seconds.
    """

    addresses: tuple[str, ...] = ()
    layout: str = "iso87_asciibin"
    framing: str = "binary2"
    tpdu: str = ""
    header: str = ""
    terminal_id: str = "TERM0001"
    acceptor_id: str = "SHANRAQ00000001"
    acquirer_id: str = "398000"
    category_code: str = "5999"
    name_location: str = ""
    entry_mode: str = ""
    condition: str = "59"
    security_code_at: Literal["", "48.92", "126.10"] = ""
    utc_offset_minutes: int = 300
    connections: int = 2
    choice: Literal["primary", "round_robin"] = "round_robin"
    matching_key: tuple[int, ...] = (7, 11, 41)
    sign_on: str = "usual"
    """The code (DE70, in 1993 DE24); `usual` is that of the edition, `none` sends nothing. The same for the next two."""
    sign_off: str = "usual"
    echo: str = "usual"
    echo_after_seconds: float = 60.0
    timeout_seconds: float = 20.0
    attempts: int = 0
    """How often a reversal is sent before a person has to look at it; 0: until it is answered."""
    keep_cards_days: int = 180
    tls: bool = False
    tls_ca_file: str = ""
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    tls_server_name: str = ""
    mac_key_file: str = ""
    mac_algorithm: Literal["iso9797-1-alg1", "iso9797-1-alg3", "aes-cmac"] = "iso9797-1-alg3"
    mac_bytes: int = 8


class SwitchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway of terminals: where it listens, and how messages are written and marked off there.

    With `tls_ca_file` terminals must show a certificate of that authority. `mac_keys_file` holds a line `name key` in hex for
    each key that terminals are registered with (in the sandbox: live keys belong into an HSM). Times are in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8583
    environment: Literal["sandbox", "live"] = "sandbox"
    layout: str = "iso87_asciibin"
    framing: str = "binary2"
    tpdu: str = ""
    connections: int = 1000
    connections_per_address: int = 100
    in_flight: int = 32
    idle_seconds: float = 300.0
    answer_seconds: float = 60.0
    tls_certificate_file: str = ""
    tls_key_file: str = ""
    tls_ca_file: str = ""
    mac_keys_file: str = ""
    mac_algorithm: Literal["iso9797-1-alg1", "iso9797-1-alg3", "aes-cmac"] = "iso9797-1-alg3"
    mac_bytes: int = 8


class ClearingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A clearing system of credit transfers over ISO 20022, and how we take part.

    `bic` is ours, `clearing_bic` the system's, `system` its name in SttlmInf. `token_file`, `key_file` and `certificate_file`
    (PEM) are what we are known by; `trust_file` is a trust list (docs/iso20022-signatures.md). Times are in seconds.
    """

    url: str = ""
    name: str = "clearing"
    bic: str = "SHRQKZKX"
    clearing_bic: str = ""
    system: str = "ICS"
    currencies: tuple[str, ...] = ("KZT",)
    token_file: str = ""
    key_file: str = ""
    certificate_file: str = ""
    trust_file: str = ""
    transactions_per_message: int = 1000
    timeout_seconds: float = 60.0


class SettlementSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is agreed with card acquirers about settlement.

    An operation is missed `expected_days` and `grace_days` after it succeeded, `closed_weekdays` (Monday is 0) and `holidays`
    (2026-12-16) not counted; reports are read again for `refetch_days`. `fees_file` is a TOML file of `[[fee]]` rules, see
    docs/settlement.md; `fees_partner` the id of the partner that bears what is charged for no payment.
    """

    interval_seconds: float = 10.0
    report_after_minutes: int = 60
    refetch_days: int = 7
    expected_days: int = 1
    grace_days: int = 2
    closed_weekdays: tuple[int, ...] = ()
    holidays: tuple[str, ...] = ()
    disputes_minutes: int = 15
    fees_file: str = ""
    fees_partner: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a process; names are the same in the TOML file and, as SHANRAQ_NAME, in the environment."""

    data_dir: str = ""
    """Where the embedded database, keys and simulator journals lie."""
    database_url: str = ""
    """An external PostgreSQL 15 to 18; empty starts the embedded one."""
    database_owner_url: str = ""
    """The login that owns the tables, for migrations; empty uses database_url and SET ROLE shanraq_app."""
    database_connections: int = 16
    pg_bin: str = ""
    """Directory of PostgreSQL's binaries; empty finds them."""
    keyring_file: str = ""
    """Master keys; empty means keys/master.keys in data_dir, made at first start."""
    host: str = "127.0.0.1"
    port: int = 8080
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of load balancers whose X-Forwarded-For and X-Forwarded-Proto are believed; nobody's if empty."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"
    body_limit_bytes: int = 65_536
    payment_file_limit_bytes: int = 268_435_456
    """How large an uploaded payment file may be, both packed and unpacked."""
    payment_file_timeout_seconds: float = 600.0
    """How long an upload may take."""
    rate_limit_per_second: float = 500.0
    rate_limit_burst: int = 1_000
    public_rate_limit_per_second: float = 5.0
    public_rate_limit_burst: int = 50
    webhook_allow_hosts: tuple[str, ...] = ()
    webhook_allow_cidrs: tuple[str, ...] = ()
    webhook_allow_ports: tuple[int, ...] = ()
    recover_after_seconds: float = 30.0
    """How long an operation may be under way before recovery looks after it."""
    recover_interval_seconds: float = 5.0
    visa_sandbox: VisaSettings = VisaSettings(index_lag_seconds=1.0)
    """Empty url: the built-in simulator."""
    visa_live: VisaSettings = VisaSettings()
    """Empty url: no live card payments."""
    mastercard_sandbox: MastercardSettings = MastercardSettings()
    """Empty url: no payments over Mastercard in the sandbox."""
    mastercard_live: MastercardSettings = MastercardSettings()
    """Empty url: no live payments over Mastercard."""
    card_host_sandbox: CardHostSettings = CardHostSettings()
    """No addresses: the built-in simulator, if card_gateway is card_host."""
    card_host_live: CardHostSettings = CardHostSettings()
    """No addresses: no live payments over a card host."""
    card_gateway: Literal["visa", "mastercard", "card_host"] = "visa"
    """What takes new card payments where both are set up; payments under way stay where they began."""
    routing_order: tuple[str, ...] = ()
    """The payment systems that take what no routing rule decides, in the order of attempts; none: card_gateway alone."""
    clearing_sandbox: ClearingSettings = ClearingSettings()
    """Empty url: the built-in simulator."""
    clearing_live: ClearingSettings = ClearingSettings()
    """Empty url: no live credit transfers to other banks."""
    clearing_ask_after_seconds: float = 60.0
    """How long a credit transfer may be without a status before the clearing system is asked for it."""
    settlement: SettlementSettings = SettlementSettings()
    """When card acquirers settle, and for how much."""
    switch: SwitchSettings = SwitchSettings()
    """The gateway of terminals, which runs where its role (iso8583) is named."""
    institution_bic: str = ""
    """The BIC of the institution that keeps the accounts, for account reports; empty leaves it out."""
    business_timezone: str = "Asia/Almaty"
    """Where business days begin at midnight (IANA), for execution dates and statements; not to be changed later."""
    card_kept_days_after_expiry: int = 90
    """How long a stored card number outlives the card; negative keeps it for ever."""
    card_kept_days_after_use: int = -1
    """How long a stored card number outlives its last payment; negative keeps it for ever."""
    gateway_notices_kept_days: int = 540
    """How long notices of gateways are kept: a dispute, which schemes take up to 540 days, may name one; negative: for ever."""
    unsafe: bool = False
    """Run on a PostgreSQL that may lose acknowledged commits (fsync off)."""

    @property
    def data_path(self) -> Path:
        """Return the data directory."""
        return Path(self.data_dir) if self.data_dir else default_data_dir()

    @property
    def keyring_path(self) -> Path:
        """Return the file of the master keys."""
        return Path(self.keyring_file) if self.keyring_file else self.data_path / "keys" / "master.keys"


def load(file: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings; raise InvalidSettingError naming the setting and where it came from.

    `overrides` (the command line) win; None in them means not given.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    source: dict[str, str] = {}
    path = file or (Path(variables["SHANRAQ_CONFIG"]) if variables.get("SHANRAQ_CONFIG") else None)
    if path is not None:
        for name, value in _read_toml(path).items():
            values[name], source[name] = value, str(path)
    for name, value in _read_environment(variables).items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            value = {**values[name], **value}
        values[name], source[name] = value, f"SHANRAQ_{name.upper()}"
    for name, value in overrides.items():
        if value is not None:
            values[name], source[name] = value, f"--{name.replace('_', '-')}"
    for name in values:
        if name not in Settings.__struct_fields__:
            raise InvalidSettingError(f"is not a setting (from {source[name]})", field=name)
    for name, value in values.items():
        kind = next(field for field in msgspec.structs.fields(Settings) if field.name == name).type
        try:
            values[name] = msgspec.convert(value, kind, strict=False, str_keys=True)
        except msgspec.ValidationError as error:
            raise InvalidSettingError(f"{error} (from {source[name]})", field=name) from None
    return Settings(**values)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidSettingError(f"cannot read {path}: {error.strerror}", field="config") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingError(f"{path} is not TOML: {error}", field="config") from None


def _read_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        variable = f"SHANRAQ_{field.name.upper()}"
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            nested = {
                inner.name: _given(inner.type, variables[f"{variable}_{inner.name.upper()}"])
                for inner in msgspec.structs.fields(field.type)
                if f"{variable}_{inner.name.upper()}" in variables
            }
            if nested:
                found[field.name] = nested
        elif variable in variables:
            found[field.name] = _given(field.type, variables[variable])
    return found


def _given(kind: Any, text: str) -> str | list[str]:
    listed = getattr(kind, "__origin__", None) is tuple
    return [part.strip() for part in text.split(",") if part.strip()] if listed else text
