"""Why a webhook request is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError


class EndpointNotFoundError(NotFoundError, code="webhook_endpoint_not_found", status=404):
    """There is no such webhook endpoint, or it is not yours."""


class EventNotFoundError(NotFoundError, code="event_not_found", status=404):
    """There is no such event, or it is not yours."""


class DeliveryNotFoundError(NotFoundError, code="webhook_delivery_not_found", status=404):
    """The event is not meant for this endpoint: it does not subscribe to the type."""


class EndpointNotEnabledError(ConflictError, code="webhook_endpoint_not_enabled", status=409):
    """The endpoint is disabled or deleted: nothing is sent to it."""


class EndpointVersionError(ConflictError, code="version_conflict", status=409):
    """The endpoint was changed in between: read it again."""


class TooManyEndpointsError(RefusedError, code="too_many_webhook_endpoints", status=422):
    """The partner has as many endpoints as it may have in this environment."""


class TooManySecretsError(RefusedError, code="too_many_webhook_secrets", status=422):
    """Ten old secrets are still in their grace period: wait until one has run out."""


class InvalidSubscriptionError(RefusedError, code="invalid_event_types", status=422):
    """The list of event types names no type or group of the catalogue, or a sensitive one without permission."""


class InvalidScheduleError(RefusedError, code="invalid_retry_schedule", status=422):
    """A retry schedule is 1 to 20 delays in whole seconds, none negative, at most 7 days together."""


class InvalidEndpointError(RefusedError, code="invalid_webhook_endpoint", status=422):
    """An attribute of the endpoint is outside of its limits."""


class InvalidSecretError(InvalidInputError, code="invalid_webhook_secret", status=400):
    """The text is not a webhook secret or public key (Standard Webhooks 1.0.0: whsec_, whsk_, whpk_)."""
