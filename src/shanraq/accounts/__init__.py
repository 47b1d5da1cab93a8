"""Accounts: a customer's or the partner's money in one currency, backed by the ledger."""

from shanraq.accounts.close import close_account
from shanraq.accounts.errors import (
    AccountNotActiveError,
    AccountNotEmptyError,
    AccountNotFoundError,
    IbanTakenError,
    InvalidIbanError,
    OverdraftNotAllowedError,
    ReferenceTakenError,
    VersionConflictError,
)
from shanraq.accounts.find import (
    account_balance,
    account_statement,
    accounts_by_number,
    find_account,
    list_accounts,
    load_accounts,
)
from shanraq.accounts.model import (
    Account,
    AccountBalance,
    AccountChange,
    AccountKind,
    AccountStatus,
    NewAccount,
    StatementLine,
    SystemAccount,
    check_account,
)
from shanraq.accounts.open import open_account, system_account
from shanraq.accounts.suspend import resume_account, suspend_account
from shanraq.accounts.update import update_account

__all__ = [
    "Account",
    "AccountBalance",
    "AccountChange",
    "AccountKind",
    "AccountNotActiveError",
    "AccountNotEmptyError",
    "AccountNotFoundError",
    "AccountStatus",
    "IbanTakenError",
    "InvalidIbanError",
    "NewAccount",
    "OverdraftNotAllowedError",
    "ReferenceTakenError",
    "StatementLine",
    "SystemAccount",
    "VersionConflictError",
    "account_balance",
    "account_statement",
    "accounts_by_number",
    "check_account",
    "close_account",
    "find_account",
    "list_accounts",
    "load_accounts",
    "open_account",
    "resume_account",
    "suspend_account",
    "system_account",
    "update_account",
]
