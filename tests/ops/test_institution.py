from __future__ import annotations

import msgspec
import pytest

from shanraq.core.settings import InvalidSettingError, Settings
from shanraq.ops.institution import institution_of


def test_the_settings_name_who_keeps_the_accounts_and_where_days_end() -> None:
    usual = institution_of(Settings())
    named = institution_of(Settings(institution_bic="HSBKKZKX", business_timezone="Europe/Berlin"))

    assert (usual.bic, usual.zone.key) == ("", "Asia/Almaty")
    assert (named.bic, named.zone.key) == ("HSBKKZKX", "Europe/Berlin")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("institution_bic", "HSBK"), ("institution_bic", "HSBKQQKX"), ("business_timezone", "Asia/Alma-Ata"),
        ("business_timezone", ""), ("business_timezone", "../zone"), ("business_timezone", "Asia"),
    ],
)  # fmt: skip
def test_refuses_what_does_not_exist_naming_the_setting(field: str, value: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        institution_of(msgspec.structs.replace(Settings(), **{field: value}))

    assert refused.value.field == field
