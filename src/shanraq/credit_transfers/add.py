"""Take up the instructions of a payment file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from shanraq.core.crypto import Keyring
from shanraq.core.db import Tx
from shanraq.core.ids import new_id
from shanraq.core.reseal import Sealed
from shanraq.credit_transfers import store
from shanraq.credit_transfers.model import (
    PREFIX,
    CreditTransfer,
    Details,
    NewTransfer,
    Rejection,
    Route,
    TransferStatus,
)

NOT_PROVIDED: Final = "NOTPROVIDED"
_DUPLICATE_END_TO_END_ID: Final = Rejection("DU04", "another payment has this end-to-end identification")
_DUPLICATE_UETR: Final = Rejection("DU03", "another payment has this UETR")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Details).decode


async def add_transfers(
    tx: Tx, keyring: Keyring, payment_file_id: str, new: Sequence[NewTransfer]
) -> list[CreditTransfer]:
    """Write transfers of a payment file; one whose end-to-end id or UETR is in use is written as rejected (DU04, DU03).

    Positions that are there already break the transaction: a file is loaded once.
    """
    ids = [new_id(PREFIX) for _ in new]
    candidates = [(id_, one) for id_, one in zip(ids, new, strict=True) if one.rejection is None]
    taken_names = await store.claim(
        tx, "end_to_end_id", [(one.end_to_end_id, id_) for id_, one in candidates if one.end_to_end_id != NOT_PROVIDED]
    )
    taken_uetrs = await store.claim(tx, "uetr", [(one.uetr, id_) for id_, one in candidates if id_ not in taken_names])
    rejections = dict.fromkeys(taken_uetrs, _DUPLICATE_UETR) | dict.fromkeys(taken_names, _DUPLICATE_END_TO_END_ID)
    await store.release_claims(tx, list(rejections))
    transfers = [
        _transfer(id_, payment_file_id, one, one.rejection or rejections.get(id_), tx.now)
        for id_, one in zip(ids, new, strict=True)
    ]
    sealed = [seal_details(keyring, id_, one.details) for id_, one in zip(ids, new, strict=True)]
    store.insert(tx, transfers, sealed)
    return transfers


def seal_details(keyring: Keyring, id_: str, details: Details) -> bytes:
    """Seal who pays whom, bound to the transfer."""
    return keyring.seal(_encode(details), context=_context(id_))


def _context(id_: str) -> str:
    return f"credit_transfer/{id_}"


SEALED: Final = (Sealed("credit_transfer", ("id",), "details", _context),)


def open_details(keyring: Keyring, id_: str, sealed: bytes) -> Details:
    """Return what `seal_details` was given. Raises SealBrokenError."""
    return _decode(keyring.open(sealed, context=_context(id_)))


def _transfer(
    id_: str, payment_file_id: str, new: NewTransfer, rejection: Rejection | None, now: datetime
) -> CreditTransfer:
    return CreditTransfer(
        id=id_,
        payment_file_id=payment_file_id,
        position=new.position,
        block=new.block,
        block_id=new.block_id,
        instruction_id=new.instruction_id,
        end_to_end_id=new.end_to_end_id,
        uetr=new.uetr,
        amount=new.amount,
        currency=new.currency,
        debtor_account=None,
        creditor_account=None,
        execution_date=new.execution_date,
        route=Route.UNDECIDED,
        status=TransferStatus.RECEIVED if rejection is None else TransferStatus.REJECTED,
        clearing_status="",
        reason="" if rejection is None else rejection.reason,
        reason_text="" if rejection is None else rejection.text[:105],
        message_id=None,
        transaction_id=None,
        amount_returned=0,
        return_transaction_id=None,
        version=1,
        created_at=now,
        updated_at=now,
        settled_at=None,
    )
