"""Hand pacs.008 of a thousand payments to the clearing simulator; prints its CPU time beside that of the library alone.

The yardstick is what any clearing system has to do with a message: unpack, verify, check against schema and rules. The
simulator does that too, decides about each payment, books it, writes and signs the pacs.002, and keeps all on disk. Time of
the client is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import statistics
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx

from shanraq.simulators.iso20022 import ClearingConfiguration, ClearingCredentials, ClearingSimulator
from shanraq.standards.iso20022 import check_rules, cut_out, validate_schema
from shanraq.standards.iso20022.signatures import SHANRAQ, TrustStore, sign, verify

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
CREDENTIALS = ClearingCredentials.generate()
US = next(iter(CREDENTIALS.participants.values()))


def institution(bic: str) -> str:
    """Return FinInstnId of a BIC."""
    return f"<FinInstnId><BICFI>{bic}</BICFI></FinInstnId>"


def message(name: str, payments: int) -> bytes:
    """Return a pacs.008, signed and compressed."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = "".join(
        f"<CdtTrfTxInf><PmtId><InstrId>I{number}</InstrId><EndToEndId>{name}-{number}</EndToEndId><TxId>T{number}</TxId>"
        f'<UETR>{uuid.uuid4()}</UETR></PmtId><IntrBkSttlmAmt Ccy="KZT">10.00</IntrBkSttlmAmt><ChrgBr>SLEV</ChrgBr>'
        "<Dbtr><Nm>Debtor</Nm></Dbtr><DbtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id></DbtrAcct>"
        f"<DbtrAgt>{institution(US.bic)}</DbtrAgt><CdtrAgt>{institution('HSBKKZKX')}</CdtrAgt><Cdtr><Nm>Creditor</Nm></Cdtr>"
        "<CdtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id></CdtrAcct><RmtInf><Ustrd>Invoice</Ustrd></RmtInf></CdtTrfTxInf>"
        for number in range(payments)
    )
    document = (
        f'<Document xmlns="{NAMESPACE}pacs.008.001.08"><FIToFICstmrCdtTrf><GrpHdr><MsgId>{name}</MsgId><CreDtTm>{now}</CreDtTm>'
        f"<NbOfTxs>{payments}</NbOfTxs><IntrBkSttlmDt>{now[:10]}</IntrBkSttlmDt><SttlmInf><SttlmMtd>CLRG</SttlmMtd><ClrSys>"
        f"<Prtry>ICS</Prtry></ClrSys></SttlmInf></GrpHdr>{body}</FIToFICstmrCdtTrf></Document>"
    )
    header = (
        f'<AppHdr xmlns="{NAMESPACE}head.001.001.02"><Fr><FIId>{institution(US.bic)}</FIId></Fr>'
        f"<To><FIId>{institution(CREDENTIALS.clearing.bic)}</FIId></To><BizMsgIdr>{name}</BizMsgIdr>"
        f"<MsgDefIdr>pacs.008.001.08</MsgDefIdr><CreDt>{now}</CreDt></AppHdr>"
    )
    signed = sign(f"<Envelope>{header}{document}</Envelope>".encode(), signer=US.signer, profile=SHANRAQ)
    return gzip.compress(signed, 1)


def check(body: bytes, trust: TrustStore) -> None:
    """Do with a message what nobody can leave out."""
    now = datetime.now(UTC)
    verified = verify(gzip.decompress(body), trust=trust, profile=SHANRAQ, as_of=now)
    document = cut_out(verified.document)
    assert not validate_schema(document)
    assert not check_rules(document, header=verified.header, as_of=now)


async def run(messages: int, payments: int, folder: Path) -> None:
    """Take turns, and print medians in milliseconds of CPU time for a message."""
    trust = CREDENTIALS.trust_of_clearing()
    configuration = ClearingConfiguration(credentials=CREDENTIALS, database=folder / "books.sqlite")
    alone: list[float] = []
    whole: list[float] = []
    async with ClearingSimulator(configuration) as simulator, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for number in range(messages):
            body = message(f"M{number}", payments)
            before = time.process_time()
            check(body, trust)
            between = time.process_time()
            answer = await client.post(
                f"{simulator.base_url}/v1/messages", content=body,
                headers={"Authorization": f"Bearer {US.token}", "Content-Encoding": "gzip"},
            )  # fmt: skip
            alone.append(between - before)
            whole.append(time.process_time() - between)
            assert answer.status_code == 202, answer.text
    library, simulated = statistics.median(alone) * 1000, statistics.median(whole) * 1000
    print(f"{messages} messages of {payments} payments: verify, schema and rules alone {library:.0f} ms, ", end="")
    print(f"in the simulator {simulated:.0f} ms of CPU time each, {simulated / library:.2f} times as much")


def main() -> None:
    """Run the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=30)
    arguments.add_argument("--payments", type=int, default=1000)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(asked.messages, asked.payments, Path(folder)))


if __name__ == "__main__":
    main()
