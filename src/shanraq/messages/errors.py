"""Why a message is not given."""

from __future__ import annotations

from shanraq.core.errors import NotFoundError


class MessageNotFoundError(NotFoundError, code="message_not_found", status=404):
    """There is no such message, or it is not yours."""
