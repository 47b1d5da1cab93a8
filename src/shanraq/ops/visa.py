"""From settings to a Visa adapter: files are read, keys imported and checked, and what is missing is named."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

from shanraq.adapters.endpoints import Policy
from shanraq.adapters.visa import (
    Envelopes,
    HttpSigner,
    JwtSigner,
    MerchantKey,
    OAuthClient,
    Scheme,
    Signer,
    VisaAdapter,
    VisaConfiguration,
    decryption_key,
    encryption_key,
    read_certificates,
    read_p12,
    request_certificate,
)
from shanraq.core.errors import InvalidInputError
from shanraq.core.http import HttpClient, InvalidRequestError, parse_url
from shanraq.core.secret import Secret
from shanraq.core.settings import InvalidSettingError, VisaSettings
from shanraq.simulators.visa import VisaSimulator

log = structlog.get_logger(__name__)

_WARN: Final = timedelta(days=90)
_REPORT_BYTES: Final = 8_388_608

_NEEDED: Final = {
    "jwt_hs256": ("merchant_id", "key_id", "secret_file"),
    "jwt_rs256": ("merchant_id", "p12_file", "p12_password_file"),
    "http_signature": ("merchant_id", "key_id", "secret_file"),
    "oauth": (
        "merchant_id",
        "oauth_client_id",
        "oauth_client_secret_file",
        "oauth_refresh_token_file",
        "tls_certificate_file",
        "tls_key_file",
    ),
}


def visa(name: str, settings: VisaSettings) -> VisaAdapter:
    """Return the adapter that settings describe; `name` is their key. Raises InvalidSettingError naming the setting."""
    for needed in _NEEDED[settings.scheme]:
        if not getattr(settings, needed):
            raise InvalidSettingError(
                f"is needed with a url and the scheme {settings.scheme}", field=f"{name}.{needed}"
            )
    for field, url in (("url", settings.url), *(("more_urls", url) for url in settings.more_urls)):
        _check_url(f"{name}.{field}", url, settings.scheme)
    if len({settings.url.rstrip("/"), *(url.rstrip("/") for url in settings.more_urls)}) <= len(settings.more_urls):
        raise InvalidSettingError("names an address twice", field=f"{name}.more_urls")
    try:
        merchant_key = _merchant_key(name, settings)
        scheme = _scheme(name, settings, merchant_key)
        configuration = VisaConfiguration(
            base_url=settings.url,
            merchant_id=settings.merchant_id,
            portfolio_id=settings.portfolio_id or None,
            request_host=settings.request_host or None,
            timeout_seconds=settings.timeout_seconds,
            index_lag_seconds=settings.index_lag_seconds,
            scheme=scheme,
            oauth=_oauth(name, settings),
            envelopes=_envelopes(name, settings, merchant_key),
            more_base_urls=tuple(url.rstrip("/") for url in settings.more_urls),
            endpoint_policy=Policy(settings.endpoint_policy),
            notice_keys=_notice_keys(name, settings),
        )
        return VisaAdapter(configuration, gateway_client(_tls(name, settings)))
    except InvalidSettingError:
        raise
    except InvalidInputError as error:
        # The parts name fields as the settings do, but for the secret itself, which is a file here.
        fields = {"secret": "secret_file"}
        part = error.field or ""
        raise InvalidSettingError(error.detail, field=f"{name}.{fields.get(part, part)}") from None


def simulated_visa(settings: VisaSettings, simulator: VisaSimulator) -> VisaAdapter:
    """Return the adapter to the simulator of this process."""
    credentials = simulator.credentials
    return VisaAdapter(
        VisaConfiguration(
            base_url=simulator.base_url,
            merchant_id=credentials.merchant_id,
            key_id=credentials.key_id,
            secret=Secret(credentials.secret),
            timeout_seconds=settings.timeout_seconds,
            index_lag_seconds=settings.index_lag_seconds,
            # Without a key of its own the simulator signs notifications with the key of the merchant.
            notice_keys={credentials.key_id: Secret(credentials.secret)},
        ),
        gateway_client(),
    )


def gateway_client(tls: ssl.SSLContext | None = None) -> HttpClient:
    """Return a client for a gateway; reports may be long."""
    # Shorter than gateways keep idle connections: a POST on a dead one would be an unknown outcome.
    return HttpClient(tls=tls, idle_seconds=15.0, response_limit_bytes=_REPORT_BYTES)


def _check_url(field: str, url: str, scheme: str) -> None:
    try:
        target = parse_url(url)
    except InvalidRequestError:
        raise InvalidSettingError("must be an http or https address", field=field) from None
    if scheme == "oauth" and target.scheme != "https":
        raise InvalidSettingError("must be https with the scheme oauth, which needs mutual TLS", field=field)


def _scheme(name: str, settings: VisaSettings, merchant_key: MerchantKey | None) -> Scheme | None:
    merchant_id, portfolio_id = settings.merchant_id, settings.portfolio_id or None
    match settings.scheme:
        case "jwt_hs256":
            return Signer(merchant_id, settings.key_id, _secret(name, settings, "secret_file"), portfolio_id)
        case "http_signature":
            return HttpSigner(merchant_id, settings.key_id, _secret(name, settings, "secret_file"), portfolio_id)
        case "jwt_rs256":
            assert merchant_key is not None
            return JwtSigner(merchant_id, merchant_key.key_id, merchant_key.key, portfolio_id)
        case "oauth":
            return None


def _merchant_key(name: str, settings: VisaSettings) -> MerchantKey | None:
    if not settings.p12_file:
        return None
    password = _secret(name, settings, "p12_password_file") if settings.p12_password_file else Secret("")
    key = read_p12(_read(name, settings, "p12_file"), password, settings.portfolio_id or settings.merchant_id)
    _check_validity(f"{name}.p12_file", key.certificate)
    return key


def _oauth(name: str, settings: VisaSettings) -> OAuthClient | None:
    if settings.scheme != "oauth":
        return None
    return OAuthClient(
        settings.oauth_client_id,
        _secret(name, settings, "oauth_client_secret_file"),
        _secret(name, settings, "oauth_refresh_token_file"),
    )


def _envelopes(name: str, settings: VisaSettings, merchant_key: MerchantKey | None) -> Envelopes:
    request_key = None
    if settings.mle_requests:
        wanted = settings.mle_certificate_name
        if settings.mle_certificate_file:
            field = "mle_certificate_file"
            certificate = request_certificate(read_certificates(_read(name, settings, field), field), field, wanted)
        elif merchant_key is not None:
            field = "p12_file"
            certificate = request_certificate(merchant_key.others, field, wanted, exact=True)
        else:
            raise InvalidSettingError(
                "is needed with mle_requests where no p12_file holds the gateway's certificate",
                field=f"{name}.mle_certificate_file",
            )
        _check_validity(f"{name}.{field}", certificate)
        request_key = encryption_key(certificate, field)
    if bool(settings.mle_reply_key_file) is not bool(settings.mle_reply_key_id):
        missing = "mle_reply_key_id" if settings.mle_reply_key_file else "mle_reply_key_file"
        raise InvalidSettingError("is needed for encrypted replies", field=f"{name}.{missing}")
    reply_key = None
    if settings.mle_reply_key_file:
        reply_key = decryption_key(_read(name, settings, "mle_reply_key_file"), "mle_reply_key_file")
    return Envelopes(request_key, reply_key, settings.mle_reply_key_id)


def _notice_keys(name: str, settings: VisaSettings) -> dict[str, Secret]:
    if bool(settings.notice_key_file) is not bool(settings.notice_key_id):
        missing = "notice_key_id" if settings.notice_key_file else "notice_key_file"
        raise InvalidSettingError("is needed for notifications", field=f"{name}.{missing}")
    if not settings.notice_key_file:
        return {}
    return {settings.notice_key_id: _secret(name, settings, "notice_key_file")}


def _tls(name: str, settings: VisaSettings) -> ssl.SSLContext | None:
    if not (settings.tls_ca_file or settings.tls_certificate_file or settings.tls_key_file):
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.tls_ca_file:
        _read(name, settings, "tls_ca_file")
        try:
            context.load_verify_locations(settings.tls_ca_file)
        except ssl.SSLError:
            raise InvalidSettingError("holds no certificate in PEM", field=f"{name}.tls_ca_file") from None
    if bool(settings.tls_certificate_file) is not bool(settings.tls_key_file):
        missing = "tls_key_file" if settings.tls_certificate_file else "tls_certificate_file"
        raise InvalidSettingError("is needed for mutual TLS", field=f"{name}.{missing}")
    if settings.tls_certificate_file:
        field = "tls_certificate_file"
        certificates = read_certificates(_read(name, settings, field), field)
        _read(name, settings, "tls_key_file")
        _check_validity(f"{name}.{field}", certificates[0])
        try:
            # An empty password makes a key that has one an error, instead of a question at the terminal.
            context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file, password="")
        except ssl.SSLError:
            raise InvalidSettingError(
                "holds no private key of tls_certificate_file without a password", field=f"{name}.tls_key_file"
            ) from None
    return context


def _check_validity(field: str, certificate: x509.Certificate) -> None:
    now, ends = datetime.now(UTC), certificate.not_valid_after_utc
    if ends <= now:
        raise InvalidSettingError(f"holds a certificate that expired on {ends:%Y-%m-%d}", field=field)
    if certificate.not_valid_before_utc > now:
        raise InvalidSettingError(
            f"holds a certificate that is valid from {certificate.not_valid_before_utc:%Y-%m-%d} only", field=field
        )
    if ends - now < _WARN:
        log.warning("visa.certificate_expires", setting=field, expires=f"{ends:%Y-%m-%d}", days=(ends - now).days)


def _read(name: str, settings: VisaSettings, field: str) -> bytes:
    try:
        return Path(getattr(settings, field)).read_bytes()
    except OSError as error:
        raise InvalidSettingError(f"cannot be read: {error.strerror}", field=f"{name}.{field}") from None


def _secret(name: str, settings: VisaSettings, field: str) -> Secret:
    try:
        text = _read(name, settings, field).decode().strip()
    except UnicodeDecodeError:
        raise InvalidSettingError("is no text", field=f"{name}.{field}") from None
    if not text:
        raise InvalidSettingError("is empty", field=f"{name}.{field}")
    return Secret(text)
