"""The taxonomy of declines against the tables of response codes and advice codes."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from shanraq.payments.adapter import Advice, DeclineClass, Reason
from shanraq.payments.declines import ADVICE, APPROVED, CODES, ISSUER, PARTIAL, Retry, advice_of, is_final, refine
from tests.conformance.data import conformance_data

DOMAIN = conformance_data("cards/domain")
TAXONOMY: dict[str, Any] = json.loads((DOMAIN / "decline-taxonomy.json").read_text())
ISO = list(csv.DictReader((DOMAIN / "iso-response-codes.csv").read_text().splitlines()))
MERCHANT_ADVICE = list(csv.DictReader((DOMAIN / "merchant-advice-codes.csv").read_text().splitlines()))
SOFT = Reason("do_not_honor", DeclineClass.SOFT, Advice.ASK_CUSTOMER)


def test_the_taxonomy_is_complete() -> None:
    # What is not known is no decline: Unknown has a type of its own.
    assert {kind.value for kind in DeclineClass} | {"unknown_outcome"} == set(TAXONOMY["classes"])
    assert set(TAXONOMY["codes"]) == CODES
    assert set(TAXONOMY["actions"]) <= {advice.value for advice in Advice}


@pytest.mark.parametrize("row", ISO, ids=lambda row: row["code"])
def test_response_code(row: dict[str, str]) -> None:
    code = row["code"]
    match row["class"]:
        case "approved":
            assert code in APPROVED
        case "partially_approved":
            assert code in PARTIAL
        case "soft":
            assert ISSUER[code][1] in (DeclineClass.SOFT, DeclineClass.TECHNICAL)
        case "hard":
            assert ISSUER[code][1] is DeclineClass.HARD
        case "authentication_required":
            assert ISSUER[code][1:] == (DeclineClass.AUTHENTICATION_REQUIRED, Advice.STEP_UP_3DS)
        case "data":
            assert ISSUER[code][2] in (Advice.UPDATE_CARD, Advice.ASK_CUSTOMER)
        case other:
            raise AssertionError(other)


def test_no_response_code_is_ours_alone() -> None:
    assert set(ISSUER) | APPROVED | PARTIAL == {row["code"] for row in ISO}
    assert {code for code, _, _ in ISSUER.values()} <= CODES


@pytest.mark.parametrize("row", MERCHANT_ADVICE, ids=lambda row: f"{row['scheme']}-{row['code']}")
def test_merchant_advice_code(row: dict[str, str]) -> None:
    told = advice_of(row["scheme"], row["code"])
    assert told is not None
    reason = refine(Reason(SOFT.code, SOFT.kind, SOFT.advice, advice_code=row["code"]), row["scheme"])
    wait = re.fullmatch(r"(\d+)([hd])", row["retry"])
    if wait:
        unit = {"h": "hours", "d": "days"}[wait[2]]
        assert (told.retry, told.wait) == (Retry.AFTER, timedelta(**{unit: int(wait[1])}))
        assert (reason.kind, reason.retry_after) == (DeclineClass.RETRY_AFTER, told.wait)
    elif row["retry"] == "never":
        assert told.retry is Retry.NEVER
        assert (reason.kind, reason.advice) == (DeclineClass.HARD, Advice.DO_NOT_RETRY)
    else:
        assert told.retry not in (Retry.NEVER, Retry.AFTER)
        assert reason.advice is not Advice.DO_NOT_RETRY
    assert is_final(reason, row["scheme"]) == (row["retry"] == "never")


def test_no_advice_code_is_ours_alone() -> None:
    ours = {(scheme, code) for scheme, codes in ADVICE.items() for code in codes}
    assert ours == {(row["scheme"], row["code"]) for row in MERCHANT_ADVICE}


def test_the_issuers_code_is_more_exact_than_the_gateways_word() -> None:
    stolen = refine(Reason("do_not_honor", DeclineClass.SOFT, Advice.RETRY_LATER, "DECLINED", issuer_code="43"), "visa")

    assert (stolen.code, stolen.kind, stolen.advice) == ("stolen_or_lost", DeclineClass.HARD, Advice.DO_NOT_RETRY)
    assert stolen.gateway_reason == "DECLINED"


def test_advice_never_softens_a_hard_decline() -> None:
    closed = refine(
        Reason("do_not_honor", DeclineClass.SOFT, Advice.RETRY_LATER, issuer_code="46", advice_code="02"), "mastercard"
    )

    assert (closed.kind, closed.advice) == (DeclineClass.HARD, Advice.UPDATE_CARD)


@pytest.mark.parametrize(("scheme", "code"), [("visa", "01"), ("mastercard", "3")])
def test_reads_codes_with_and_without_leading_zeros(scheme: str, code: str) -> None:
    told = advice_of(scheme, code)

    assert told is not None and told.retry is Retry.NEVER


def test_a_code_nobody_knows_changes_nothing() -> None:
    told = Reason("do_not_honor", DeclineClass.SOFT, Advice.ASK_CUSTOMER, issuer_code="ZZ", advice_code="77")

    assert refine(told, "mastercard") is told
    assert refine(told, "unknown") is told
