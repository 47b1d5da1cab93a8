"""The table of BINs from a CSV file: what is wrong is told by line, nothing is half done, and no number is repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shanraq import payments
from shanraq.core.db import Database
from shanraq.core.settings import Settings
from shanraq.ops.bins import BinFileError, import_bins, list_bins, read_bins, show_bin, versions

HEAD = "bin_from,bin_to,scheme,issuer_country,funding,issuer_name\n"
LAST = ",UZ,mastercard,51000000,51000099,unknown\n"


def quiet(_: str) -> None:
    pass


def silent(_: int) -> None:
    pass


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "bins.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "411111,,visa,KZ,debit,Банк\n51000000,51000099,mastercard,UZ,,\n",
        "\ufeff"
        + HEAD.replace(",", ";")
        + "411111; 411111 ;visa;KZ;debit;Банк\r\n\r\n51000000;51000099;mastercard;UZ;;\r\n",
        'issuer_name,Issuer_Country,scheme,bin_from,bin_to,funding\n"Банк",KZ,visa,411111,411111,debit\n' + LAST,
    ],
)
def test_a_file_is_read_whatever_the_order_of_its_columns(tmp_path: Path, text: str) -> None:
    assert read_bins(written(tmp_path, text)) == [
        payments.BinRange(first="411111", last="411111", scheme="visa", country="KZ",
                          funding=payments.Funding.DEBIT, issuer="Банк"),
        payments.BinRange(first="51000000", last="51000099", scheme="mastercard", country="UZ"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["line 1: has no column bin_from", "line 1: has no column scheme", "line 1: has no column issuer_country",
              "line 1: may only name bin_from, bin_to, scheme, issuer_country, funding, issuer_name"]),
        (HEAD, ["holds no ranges"]),
        (HEAD.replace("bin_to", "bin_from"), ["line 1: names a column twice"]),
        ("bin_from,scheme,issuer_country\n411111,visa\n", ["line 2: has 2 columns, not 3"]),
        (
            HEAD + "4111,42,Visa,kz,cash,\n,411111,,,,\n411111,,visa,KZ,,ok\n4111111111111111,,visa,KZ,,\n",
            [
                "line 2: bin_from must be 6 to 8 digits",
                "line 2: bin_to must be 6 to 8 digits",
                "line 2: scheme must be small letters, such as visa",
                "line 2: issuer_country must be an ISO 3166-1 alpha-2 code such as KZ",
                "line 2: funding must be credit, debit, prepaid or charge, or empty",
                "line 3: bin_from must be 6 to 8 digits",
                "line 3: scheme must be small letters, such as visa",
                "line 3: issuer_country must be an ISO 3166-1 alpha-2 code such as KZ",
                "line 5: bin_from must be 6 to 8 digits",
            ],
        ),
        (
            HEAD + "411111,,visa,KZ,,\n\n411111,,visa,UZ,,\n422222,422221,visa,KZ,,\n433333,,visa,ZZ,,\n",
            [
                "line 4: bin_from is there twice: see line 2",
                "line 5: bin_to is before the first one",
                "line 6: issuer_country must be an ISO 3166-1 alpha-2 code such as KZ",
            ],
        ),
        (
            HEAD + f"411111,,visa,KZ,,{'x' * 101}\n",
            ["line 2: issuer_name must be at most 100 characters, no control characters"],
        ),
        (HEAD + '411111,,visa,KZ,,"a"b\n', ["line 2: is not CSV: ',' expected after '\"'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_line(tmp_path: Path, text: str, problems: list[str]) -> None:
    with pytest.raises(BinFileError) as refused:
        read_bins(written(tmp_path, text))

    assert [str(problem) for problem in refused.value.problems] == problems


def test_only_the_first_problems_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(BinFileError) as refused:
        read_bins(written(tmp_path, HEAD + "4,,visa,KZ,,\n" * 25))

    assert (len(refused.value.problems), refused.value.more) == (20, 5)


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BinFileError, match="not UTF-8"):
        read_bins(written(tmp_path, HEAD + "411111,,visa,KZ,,Банк\n", "cp1251"))
    with pytest.raises(BinFileError, match="cannot be read"):
        read_bins(tmp_path / "nowhere.csv")


async def test_a_file_becomes_the_table_and_is_listed_and_shown(
    database: Database, owner_dsn: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=owner_dsn, data_dir=str(tmp_path), unsafe=True, log_level="error")
    told: list[int] = []
    lines = "".join(f"{400000 + number},,visa,KZ,,\n" for number in range(6000))
    read = read_bins(written(tmp_path, HEAD + lines), told.append)
    counted = sum(told)
    made = await import_bins(settings, read, quiet, told.append)
    again = await import_bins(settings, read, quiet, silent)
    shown = await show_bin(settings, "405999", quiet)

    assert (counted, sum(told) - counted) == (6000, 6000)
    assert (made.version, made.ranges, made.changed_by) == (1, 6000, "system:console")
    assert again == made
    assert await versions(settings, quiet) == [made]
    assert [one.first for one in await list_bins(settings, None, quiet)] == [
        f"{40000000 + n * 100}" for n in range(6000)
    ]
    assert [one.country for one in shown.ranges] == ["KZ"]
    with pytest.raises(payments.BinTableVersionNotFoundError):
        await list_bins(settings, 2, quiet)


def test_the_command_line_imports_lists_and_refuses(database: Database, owner_dsn: str, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        where = ["--database-url", owner_dsn, "--data-dir", str(tmp_path)]
        return subprocess.run(
            [sys.executable, "-m", "shanraq", "routing", "bins", *words, *where],
            capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "SHANRAQ_UNSAFE": "true"},
        )  # fmt: skip

    right = written(tmp_path, HEAD + "411111,,visa,KZ,debit,\n")
    made = run("import", str(right))
    wrong = run("import", str(written(tmp_path, HEAD + "411111,,visa,KZ,,\n4111111111111111,,visa,KZ,,\n")))
    shown = run("show", "41111122")

    assert (made.returncode, json.loads(made.stdout)["version"]) == (0, 1), made.stderr
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "line 3: bin_from must be 6 to 8 digits" in wrong.stderr
    assert (shown.returncode, json.loads(shown.stdout)["ranges"][0]["funding"]) == (0, "debit")
    assert json.loads(run("list").stdout)["country"] == "KZ"
    assert json.loads(run("versions").stdout)["ranges"] == 1
