"""Usage profiles: what a community asks beyond the standard, as dated data that options may change.

profile = load_profile("cbpr+", day=date(2026, 11, 23), options={"unstructured_address_end": "2026-11-14"})

A file gives the settings of the profile and its editions by date; the edition of a day is the newest that has begun, or that of
the option `year`. Options are settings by name, so that a payment system or a bank can differ without code.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final, Literal

import msgspec

PROFILE_SCHEMA: Final = "iso20022-profile/1"
_FOLDER: Final = resources.files(__package__ or "")


class UnknownProfileError(ValueError):
    """No profile of this name, or a setting that no profile has."""


class PurposeCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the national purpose code (КНП) stands in a transaction, and whether it must."""

    path: tuple[str, ...]
    scheme: Literal["kz"] = "kz"
    required: bool = False


class ResidencyAndSector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The type of the regulatory reporting detail whose code is КОд, КБе and КНП in a row."""

    type: str
    required: bool = False


class Profile(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """The settings a message is checked against; each default is the standard's own.

    Dates are days, `max_days_ahead` and `max_age_days` whole days, `amount_limit` decimal text in units of the currency.
    `severities` softens or switches off rules by their code. `closed_weekdays` count from Monday 0. `holidays` are days, or
    days by clearing system (ClrSys/Cd or Prtry); those under "" hold for every other system, and where none is named.
    """

    name: str = "iso"
    year: int | None = None
    policy: str = ""
    charset: Literal["unicode", "x", "x+", "latin1-sepa"] = "unicode"
    charset_extended: bool = False
    max_days_ahead: int | None = None
    max_age_days: int = 90
    utc_offset_hours: int | None = None
    closed_weekdays: tuple[int, ...] | None = None
    holidays: tuple[date, ...] | dict[str, tuple[date, ...]] = ()
    remittance: Literal["any", "strd-or-ustrd"] = "any"
    remittance_length: int | None = None
    structured_address: bool = False
    hybrid_address_from: date | None = None
    hybrid_lines: int = 7
    unstructured_address_end: date | None = None
    name_with_address: bool = False
    clearing_code_in_one_country: bool = False
    reject_needs_reason: bool = False
    header_names_agents: bool = False
    header_repeats_message_id: bool = False
    header_offset_required: bool = False
    business_services: tuple[str, ...] = ()
    references_without_slashes: bool = False
    instruction_id_length: int | None = None
    one_transaction: bool = False
    uetr_required: bool = False
    commodities_forbidden: bool = False
    partial_return_marked: bool = False
    booked_entry_dated: bool = False
    reply_to_sender: bool = False
    service_levels: dict[str, tuple[str, ...]] = {}
    currencies: tuple[str, ...] = ()
    charge_bearers: tuple[str, ...] = ()
    amount_limit: str = ""
    iban_required: bool = False
    mandate_required: bool = False
    national_ids: dict[str, Literal["kz"]] = {}
    bank_of_account: Literal["", "kz"] = ""
    purpose_code: PurposeCode | None = None
    residency_and_sector: ResidencyAndSector | None = None
    severities: dict[str, Literal["error", "warning", "info", "off"]] = {}

    def is_closed(self, day: date, system: str) -> bool:
        """Tell whether a system is closed on a day; at weekends it is, where there are holidays and nothing else is said."""
        weekdays = ((5, 6) if self.holidays else ()) if self.closed_weekdays is None else self.closed_weekdays
        days = self.holidays
        if isinstance(days, dict):
            days = days.get(system, days.get("", ()))
        return day.weekday() in weekdays or day in days


class _Edition(msgspec.Struct, frozen=True):
    begin: date = msgspec.field(name="from")
    year: int
    settings: dict[str, Any]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal["iso20022-profile/1"]
    name: str
    title: str
    evidence: str
    settings: dict[str, Any]
    editions: tuple[_Edition, ...]


@cache
def _files() -> dict[str, _File]:
    found = {}
    for entry in _FOLDER.iterdir():
        if entry.name.endswith(".json"):
            content = msgspec.json.decode(entry.read_bytes(), type=_File)
            found[content.name] = content
    return found


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that are here."""
    return tuple(sorted(_files()))


def profile_evidence(name: str) -> str:
    """Return what a profile rests upon; raise UnknownProfileError."""
    if (content := _files().get(name)) is None:
        raise UnknownProfileError(f"no profile {name!r}; there are {', '.join(profile_names())}")
    return content.evidence


def load_profile(name: str, *, day: date | None = None, options: Mapping[str, Any] | None = None) -> Profile:
    """Return a profile as it stands on a day (the newest edition without one), with options on top.

    Raises UnknownProfileError for a name, a setting or a value that does not exist.
    """
    if (content := _files().get(name)) is None:
        raise UnknownProfileError(f"no profile {name!r}; there are {', '.join(profile_names())}")
    options = dict(options or {})
    settings = {"name": name, **content.settings, **_edition_of(content.editions, day, options.get("year")), **options}
    try:
        return _profile(msgspec.json.encode(settings, order="deterministic"))
    except msgspec.ValidationError as error:
        raise UnknownProfileError(f"profile {name}: {error}") from None


@lru_cache(maxsize=64)
def _profile(settings: bytes) -> Profile:
    """Return one object for the same settings: the rules that are on are put together once for each."""
    return msgspec.json.decode(settings, type=Profile)


def _edition_of(editions: tuple[_Edition, ...], day: date | None, year: int | None) -> dict[str, Any]:
    if year is not None:
        fitting = [edition for edition in editions if edition.year <= year]
    else:
        fitting = [edition for edition in editions if day is None or edition.begin <= day]
    return fitting[-1].settings if fitting else {}
