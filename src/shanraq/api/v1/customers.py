"""Customers: a partner's persons and firms."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import kyc
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View

_TAGS = ["Customers"]


class CustomerList(View, frozen=True):
    """A page of customers, newest first."""

    items: list[kyc.Customer]
    next_cursor: str = ""


@post(
    "/v1/customers",
    operation_id="register_customer",
    tags=_TAGS,
    opt={"scope": "customers:write"},
    responses=problems(409),
)
async def register_customer(data: JSONBody[kyc.NewCustomer], actor: CurrentActor, services: Services) -> kyc.Customer:
    """Register a person or a firm; personal details are stored encrypted.

    `reference` is unique: registering twice with the same one is refused.
    """
    return await kyc.register_customer(services.db, services.keyring, actor, data)


@get("/v1/customers", operation_id="list_customers", tags=_TAGS, opt={"scope": "customers:read"})
async def list_customers(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    reference: Annotated[
        str | None, QueryParameter(max_length=100, description="Only the one with this reference.")
    ] = None,
) -> CustomerList:
    """List customers."""
    found = await kyc.list_customers(services.db, services.keyring, actor, page(cursor, limit), reference=reference)
    return CustomerList(list(found.items), found.next_cursor)


@get("/v1/customers/{customer_id:str}", operation_id="get_customer", tags=_TAGS, opt={"scope": "customers:read"})
async def get_customer(customer_id: FromPath[str], actor: CurrentActor, services: Services) -> kyc.Customer:
    """Read a customer."""
    return await kyc.find_customer(services.db, services.keyring, actor, customer_id)


@patch(
    "/v1/customers/{customer_id:str}",
    operation_id="update_customer",
    tags=_TAGS,
    opt={"scope": "customers:write"},
    responses=problems(409, 422),
)
async def update_customer(
    customer_id: FromPath[str], data: JSONBody[kyc.CustomerChange], actor: CurrentActor, services: Services
) -> kyc.Customer:
    """Change a customer's details, reference or metadata.

    `version` is that of the customer as you read it; if it was changed since, the request is refused.
    """
    return await kyc.update_customer(services.db, services.keyring, actor, customer_id, data)


@delete(
    "/v1/customers/{customer_id:str}",
    operation_id="erase_customer",
    tags=_TAGS,
    opt={"scope": "customers:write"},
    status_code=200,
)
async def erase_customer(customer_id: FromPath[str], actor: CurrentActor, services: Services) -> kyc.Customer:
    """Destroy who a customer is (GDPR, article 17); accounts and payments keep the id."""
    return await kyc.erase_customer(services.db, services.keyring, actor, customer_id)


ROUTES = [register_customer, list_customers, get_customer, update_customer, erase_customer]
