"""The institution that keeps the accounts, from the settings."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shanraq import statements
from shanraq.core.settings import InvalidSettingError, Settings
from shanraq.standards.iso20022.identifiers import bic_fault


def institution_of(settings: Settings) -> statements.Institution:
    """Return the institution the settings name; raise InvalidSettingError for a BIC or a time zone that does not exist."""
    if settings.institution_bic and (fault := bic_fault(settings.institution_bic)) is not None:
        raise InvalidSettingError(fault.value.replace("_", " "), field="institution_bic")
    try:
        zone = ZoneInfo(settings.business_timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSettingError("is not a time zone of this system", field="business_timezone") from None
    return statements.Institution(settings.institution_bic, zone)
