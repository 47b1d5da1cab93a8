"""Settlement: what payment systems paid out, matched with payments and the ledger."""
