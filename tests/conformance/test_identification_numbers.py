from __future__ import annotations

import csv

from shanraq.core.identity import kz_number_valid
from tests.conformance.data import conformance_data


def test_shape_and_check_digit_of_bin_and_iin_are_judged_as_recorded() -> None:
    with conformance_data("kyc-aml/documents/iin_bin_cases.csv").open(encoding="utf-8", newline="") as file:
        cases = list(csv.DictReader(file))

    wrong = [
        case["value"]
        for case in cases
        if kz_number_valid(case["value"]) != (case["shape_ok"] == "1" and case["checksum_ok"] == "1")
    ]

    assert len(cases) > 2000
    assert wrong == []
