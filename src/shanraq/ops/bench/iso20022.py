"""Measure ISO 20022 in one run, on one core, taking turns; medians of CPU time.

Files of pain.001.001.09 with 630 bytes a transaction, made here, the same each time: validated by all rules and read as
records. A small one against xmlschema (validates) and pyiso20022 (reads into objects), a large one against
`xmllint --stream --schema`, libxml2's own program, which validates and does no more. And one message of one transaction
through all rules.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, Final
from uuid import UUID

from rich.console import Console

from shanraq.core.errors import UnavailableError
from shanraq.standards import iso20022

DEFINITION: Final = "pain.001.001.09"
AS_OF: Final = dt.datetime(2026, 3, 2, 10, tzinfo=dt.UTC)
NO_XMLLINT: Final = "xmllint is not installed, so there is no ratio to it: it is in libxml2-utils of Debian"
_BANK: Final = "<FinInstnId><BICFI>{}</BICFI></FinInstnId>"
_ADDRESS: Final = "<PstlAdr><TwnNm>Almaty</TwnNm><Ctry>KZ</Ctry></PstlAdr>"
_ACCOUNT: Final = "<Id><IBAN>{}</IBAN></Id>"
_STARTER: Final = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
sys.exit(done.returncode)
"""
# The library alone: the platform around it would be measured too.
_READER: Final = """
import datetime, sys
from shanraq.standards import iso20022
with open(sys.argv[1], "rb") as file:
    extraction = iso20022.extract_stream(file, as_of=datetime.datetime.fromisoformat(sys.argv[2]))
    count = sum(len(batch.instructions) for batch in extraction)
sys.exit(not (extraction.report.valid and count))
"""
_ALONE: Final = 200  # messages of one transaction a turn


class NotValidError(UnavailableError, code="not_valid", status=503):
    """The messages of this benchmark do not pass: there is nothing to measure."""


def order(count: int) -> bytes:
    """Return a right pain.001 of one block and as many transactions."""
    cents = [(number * 37 % 100_000) + 1 for number in range(count)]
    total = f"{sum(cents) // 100}.{sum(cents) % 100:02d}"
    numbers = f"<NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum>"
    account = iban(0)
    head = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{DEFINITION}">'
        f"<CstmrCdtTrfInitn><GrpHdr><MsgId>M-{count}</MsgId><CreDtTm>2026-03-02T09:00:00+05:00</CreDtTm>{numbers}"
        "<InitgPty><Nm>Shanraq Test LLP</Nm></InitgPty></GrpHdr><PmtInf><PmtInfId>B-1</PmtInfId><PmtMtd>TRF</PmtMtd>"
        f"{numbers}<ReqdExctnDt><Dt>2026-03-03</Dt></ReqdExctnDt><Dbtr><Nm>Shanraq Test LLP</Nm>{_ADDRESS}</Dbtr>"
        f"<DbtrAcct>{_ACCOUNT.format(account)}<Ccy>KZT</Ccy></DbtrAcct><DbtrAgt>{_BANK.format('NBRKKZKX')}</DbtrAgt>\n"
    )
    body = "".join(_transaction(number, amount) for number, amount in enumerate(cents))
    return f"{head}{body}</PmtInf></CstmrCdtTrfInitn></Document>\n".encode()


def iban(number: int) -> str:
    """Return a Kazakh IBAN with right check digits."""
    body = f"125KZT{number:010d}"
    digits = "".join(str(int(letter, 36)) for letter in f"{body}KZ00")
    return f"KZ{98 - int(digits) % 97:02d}{body}"


def _transaction(number: int, cents: int) -> str:
    return (
        f"<CdtTrfTxInf><PmtId><InstrId>I{number:09d}</InstrId><EndToEndId>E2E-{number:09d}</EndToEndId>"
        f"<UETR>{UUID(int=number * 0x9E3779B97F4A7C15 % 2**128, version=4)}</UETR></PmtId>"
        f'<Amt><InstdAmt Ccy="KZT">{cents // 100}.{cents % 100:02d}</InstdAmt></Amt><ChrgBr>SLEV</ChrgBr>'
        f"<CdtrAgt>{_BANK.format('NBRKKZKX')}</CdtrAgt><Cdtr><Nm>Beneficiary {number}</Nm>{_ADDRESS}<Id><PrvtId><Othr>"
        f"<Id>500101100000</Id><SchmeNm><Cd>NIDN</Cd></SchmeNm></Othr></PrvtId></Id></Cdtr>"
        f"<CdtrAcct>{_ACCOUNT.format(iban(number))}</CdtrAcct><Purp><Cd>SALA</Cd></Purp>"
        f"<RmtInf><Ustrd>Salary payment {number}</Ustrd></RmtInf></CdtTrfTxInf>\n"
    )


def read_all(path: Path) -> int:
    """Validate a file by all rules and read its payments; return how many there are. Raises NotValidError."""
    with path.open("rb") as file:
        extraction = iso20022.extract_stream(file, as_of=AS_OF)
        count = sum(len(batch.instructions) for batch in extraction)
    if not extraction.report.valid:
        raise NotValidError(str(extraction.report.findings[:1]))
    return count


def _foreign(path: Path, report: Callable[[str], None]) -> dict[str, Callable[[], object]]:
    """Return what other packages do with a file, of those that are installed."""
    found: dict[str, Callable[[], object]] = {}
    try:
        schema = importlib.import_module("xmlschema").XMLSchema(iso20022.definition(DEFINITION).xsd().decode())
        found["xmlschema"] = lambda: schema.validate(str(path))
    except ImportError:
        report("xmlschema is not installed, so there is no ratio to it: pip install xmlschema")
    try:
        document = importlib.import_module(f"pyiso20022.pain.{DEFINITION.replace('.', '_')}").Document
        parser = importlib.import_module("xsdata.formats.dataclass.parsers").XmlParser()
        found["pyiso20022"] = lambda: parser.from_path(path, document)
    except ImportError:
        report("pyiso20022 is not installed, so there is no ratio to it: pip install pyiso20022")
    return found


def _seconds(work: Callable[[], object]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def _process(command: list[str]) -> tuple[float, float]:
    """Return CPU seconds and peak MiB of a process.

    A small process starts it: the peak of a process begins with that of the one it was started from, here some 10 MiB.
    """
    done = subprocess.run([sys.executable, "-I", "-c", _STARTER, *command], capture_output=True, text=True, check=False)  # noqa: S603  ours, or xmllint
    if done.returncode:
        raise NotValidError(f"{command[0]} does not take the message")
    seconds, peak = json.loads(done.stdout)
    return seconds, peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def bench_iso20022(
    *, rounds: int = 3, small: int = 10_000, large: int = 100_000, report: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return CPU seconds, ratios and peaks of memory; `small` and `large` are transactions of the two files."""
    with tempfile.TemporaryDirectory() as folder:
        files = {count: Path(folder) / f"{count}.xml" for count in (small, large)}
        for count, path in files.items():
            path.write_bytes(order(count))
        schema = Path(folder) / "schema.xsd"
        schema.write_bytes(iso20022.definition(DEFINITION).xsd())
        works = {"shanraq": lambda: read_all(files[small]), **_foreign(files[small], report)}
        processes = {"shanraq": [sys.executable, "-c", _READER, str(files[large]), AS_OF.isoformat()]}
        if (xmllint := shutil.which("xmllint")) is not None:
            processes["xmllint"] = [xmllint, "--stream", "--noout", "--schema", str(schema), str(files[large])]
        else:
            report(NO_XMLLINT)
        alone = order(1)
        tree, profile = iso20022.parse(alone), iso20022.load_profile("iso", day=AS_OF.date())
        times: dict[str, list[float]] = {name: [] for name in works}
        usage: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
        single: list[float] = []
        rules: list[float] = []
        read_all(files[small])
        for turn in range(1, rounds + 1):
            report(f"round {turn} of {rounds}")
            for name, work in works.items():
                times[name].append(_seconds(work))
            for name, command in processes.items():
                usage[name].append(_process(command))
            single.append(_seconds(lambda: _validate(alone)) / _ALONE)
            rules.append(_seconds(lambda: _check(tree, profile)) / _ALONE)
    ours = median(times["shanraq"])
    streamed = {name: median(seconds for seconds, _ in each) for name, each in usage.items()}
    return {
        "machine": f"Python {platform.python_version()}, {platform.machine()}, {platform.system()} {platform.release()}",
        "rounds": rounds,
        "small": {
            "transactions": small,
            "seconds": {name: round(median(each), 3) for name, each in times.items()},
            "times_as_fast_as": {
                name: round(median(each) / ours, 1) for name, each in times.items() if name != "shanraq"
            },
        },
        "large": {
            "transactions": large,
            "seconds": {name: round(each, 2) for name, each in streamed.items()},
            "peak_mib": {name: round(max(peak for _, peak in each), 1) for name, each in usage.items()},
            "times_xmllint": round(streamed["shanraq"] / streamed["xmllint"], 2) if "xmllint" in streamed else None,
        },
        "one_message_milliseconds": {
            "all layers": round(median(single) * 1000, 3),
            "rules alone": round(median(rules) * 1000, 3),
        },
    }


def _validate(data: bytes) -> None:
    for _ in range(_ALONE):
        if not iso20022.validate(data, as_of=AS_OF).valid:
            raise NotValidError("one message")


def _check(document: Any, profile: iso20022.Profile) -> None:
    for _ in range(_ALONE):
        iso20022.check_rules(document, profile=profile, as_of=AS_OF)


def render(figures: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    small, large = figures["small"], figures["large"]
    console.print(figures["machine"])
    for name, seconds in small["seconds"].items():
        times = small["times_as_fast_as"].get(name)
        console.print(
            f"{small['transactions']} payments, {name}: {seconds} s" + (f" ({times} x ours)" if times else "")
        )
    for name, seconds in large["seconds"].items():
        console.print(f"{large['transactions']} payments, {name}: {seconds} s, {large['peak_mib'][name]} MiB")
    if large["times_xmllint"] is not None:
        console.print(f"validated by all rules and read: {large['times_xmllint']} x xmllint --stream --schema")
    for name, milliseconds in figures["one_message_milliseconds"].items():
        console.print(f"one message, {name}: {milliseconds} ms")


def main() -> None:
    """Print the figures as JSON, for environments of their own."""
    figures = bench_iso20022(report=Console(stderr=True).print)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
