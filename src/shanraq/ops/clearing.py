"""Clearing systems from settings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from shanraq.adapters.clearing import ClearingAdapter, ClearingConfiguration
from shanraq.core.money import Currency, UnknownCurrencyError
from shanraq.core.secret import Secret
from shanraq.core.settings import ClearingSettings, InvalidSettingError
from shanraq.credit_transfers import Terms
from shanraq.simulators.iso20022 import ClearingSimulator
from shanraq.standards.iso20022.identifiers import bic_fault
from shanraq.standards.iso20022.signatures import SigningError, SoftwareSigner, TrustError, TrustStore

_FILES: Final = ("token_file", "key_file", "certificate_file", "trust_file")
_MOST_TRANSACTIONS: Final = 10_000


def clearing(name: str, settings: ClearingSettings) -> ClearingAdapter:
    """Return the adapter of a clearing system. `name` is that of the settings, for errors. Raises InvalidSettingError."""
    for field_name in ("clearing_bic", *_FILES):
        if not getattr(settings, field_name):
            raise InvalidSettingError("is needed with a url", field=f"{name}.{field_name}")
    token, key, certificate, trust = (_read(name, field_name, getattr(settings, field_name)) for field_name in _FILES)
    folder = Path(settings.trust_file).parent
    try:
        signer = SoftwareSigner.from_pem(key, certificate)
    except SigningError as error:
        raise InvalidSettingError(f"{error.message}: {error.hint}", field=f"{name}.key_file") from None
    try:
        believed = TrustStore.from_json(trust, lambda file: (folder / file).read_bytes())
    except TrustError as error:
        raise InvalidSettingError(f"{error.message}: {error.hint}", field=f"{name}.trust_file") from None
    except OSError as error:
        raise InvalidSettingError(
            f"names a file that cannot be read: {error.strerror}", field=f"{name}.trust_file"
        ) from None
    return ClearingAdapter(
        ClearingConfiguration(
            base_url=settings.url.rstrip("/"),
            token=Secret(token.decode().strip()),
            terms=terms(name, settings),
            signer=signer,
            trust=believed,
            timeout_seconds=settings.timeout_seconds,
        )
    )


def simulated_clearing(settings: ClearingSettings, simulator: ClearingSimulator) -> ClearingAdapter:
    """Return the adapter of the simulator, as its first participant."""
    credentials = simulator.credentials
    member = next(iter(credentials.participants.values()))
    named = msgspec.structs.replace(settings, bic=member.bic, clearing_bic=credentials.clearing.bic)
    return ClearingAdapter(
        ClearingConfiguration(
            base_url=simulator.base_url,
            token=Secret(member.token),
            terms=terms("clearing_sandbox", named),
            signer=member.signer,
            trust=credentials.trust_of_participant(),
            timeout_seconds=settings.timeout_seconds,
        )
    )


def terms(name: str, settings: ClearingSettings) -> Terms:
    """Return how we take part, as the settings say. Raises InvalidSettingError naming the setting."""
    for field_name in ("bic", "clearing_bic"):
        fault = bic_fault(getattr(settings, field_name))
        if fault is not None:
            raise InvalidSettingError(fault.value, field=f"{name}.{field_name}")
    if not 1 <= settings.transactions_per_message <= _MOST_TRANSACTIONS:
        raise InvalidSettingError(f"must be 1 to {_MOST_TRANSACTIONS}", field=f"{name}.transactions_per_message")
    if not 1 <= len(settings.system) <= 35:
        raise InvalidSettingError("must have 1 to 35 characters", field=f"{name}.system")
    try:
        currencies = frozenset(Currency.of(code).code for code in settings.currencies)
    except UnknownCurrencyError as error:
        raise InvalidSettingError(error.detail, field=f"{name}.currencies") from None
    return Terms(
        name=settings.name,
        bic=settings.bic,
        clearing_bic=settings.clearing_bic,
        system=settings.system,
        currencies=currencies,
        transactions_per_message=settings.transactions_per_message,
    )


def _read(name: str, field_name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidSettingError(f"cannot be read: {error.strerror}", field=f"{name}.{field_name}") from None
