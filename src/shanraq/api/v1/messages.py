"""ISO 20022 messages as they were exchanged."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from shanraq import messages
from shanraq.api.gate import CurrentActor
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View
from shanraq.api.xml import MEDIA_TYPE, XmlAnswer

_TAGS = ["Messages"]
_SCOPE = {"scope": "messages:read"}


class MessageList(View, frozen=True):
    """A page of messages, newest first."""

    items: list[messages.Message]
    next_cursor: str = ""


@get("/v1/messages", operation_id="list_messages", tags=_TAGS, opt=_SCOPE)
async def list_messages(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    message_id: Annotated[
        str | None,
        QueryParameter(
            max_length=35, description="Only those with this identification: MsgId, or Id of an assignment."
        ),
    ] = None,
) -> MessageList:
    """List messages.

    What each says is read at its `content`.
    """
    found = await messages.list_messages(services.db, actor, page(cursor, limit), identification=message_id)
    return MessageList(list(found.items), found.next_cursor)


@get("/v1/messages/{message_id:str}", operation_id="get_message", tags=_TAGS, opt=_SCOPE)
async def get_message(message_id: FromPath[str], actor: CurrentActor, services: Services) -> messages.Message:
    """Read what is known of a message."""
    return await messages.find_message(services.db, actor, message_id)


@get(
    "/v1/messages/{message_id:str}/content",
    operation_id="get_message_content",
    tags=_TAGS,
    opt=_SCOPE,
    media_type=MEDIA_TYPE,
)
async def get_message_content(message_id: FromPath[str], actor: CurrentActor, services: Services) -> XmlAnswer:
    """Read a message as it is on the wire."""
    return XmlAnswer(await messages.message_content(services.db, services.keyring, actor, message_id))


ROUTES = [list_messages, get_message, get_message_content]
