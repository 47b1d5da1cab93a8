"""Double entry: accounts, transfers, holds; balances of now and of any past moment.

Exact rules and result numbers of TigerBeetle 0.17.9, on rows of PostgreSQL. A book is the set of accounts of one partner
in one environment; ids are 128-bit integers of the caller's, unique for ever within the book, and make every call safe
to repeat. `post` and `open_accounts` answer with values; see `TransferStatus` for what a retry may bring.
"""

from shanraq.ledger.model import Account as Account
from shanraq.ledger.model import AccountFlags as AccountFlags
from shanraq.ledger.model import AccountResult as AccountResult
from shanraq.ledger.model import AccountStatus as AccountStatus
from shanraq.ledger.model import Balance as Balance
from shanraq.ledger.model import EntryKind as EntryKind
from shanraq.ledger.model import Result as Result
from shanraq.ledger.model import Side as Side
from shanraq.ledger.model import StatementEntry as StatementEntry
from shanraq.ledger.model import Transfer as Transfer
from shanraq.ledger.model import TransferFlags as TransferFlags
from shanraq.ledger.model import TransferStatus as TransferStatus
from shanraq.ledger.open_accounts import open_accounts as open_accounts
from shanraq.ledger.post import post as post
