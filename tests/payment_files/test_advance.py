"""What becomes of a file: validated, loaded, watched; refused as a whole, by block, by transaction."""

from __future__ import annotations

from tests.payment_files.files import Office, order


async def test_every_transaction_of_a_valid_file_becomes_a_transfer(office: Office) -> None:
    file = await office.loaded(order(5))

    assert (file.status, file.definition, file.message_id) == ("processing", "pain.001.001.09", "MSG-1")
    assert (file.transactions, file.progress.loaded, file.progress.by_status) == (5, 5, {"received": 5})
    found = await office.transfers(file.id)
    assert [one.end_to_end_id for one in found] == ["E1", "E2", "E3", "E4", "E5"]
    assert {(one.amount, one.currency, one.block_id) for one in found} == {(10_000, "KZT", "BLOCK-1")}
    assert await office.events() == ["payment_file.accepted"]
