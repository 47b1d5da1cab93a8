"""Why a partner, an operator or a credential is refused."""

from __future__ import annotations

from shanraq.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UnauthenticatedError,
)


class PartnerNotFoundError(NotFoundError, code="partner_not_found", status=404):
    """There is no such partner."""


class PartnerNotApprovedError(ConflictError, code="partner_not_approved", status=409):
    """The application is not approved."""


class PartnerRegisteredError(ConflictError, code="partner_registered", status=409):
    """A company with this country and registration number is a partner already."""


class PartnerNotLiveError(RefusedError, code="partner_not_live", status=422):
    """Live keys are for partners that went live."""


class PartnerSuspendedError(ForbiddenError, code="partner_suspended", status=403):
    """The partner is suspended: none of its keys works until it is resumed."""


class PartnerClosedError(ForbiddenError, code="partner_closed", status=403):
    """The partner is closed for ever."""


class FourEyesRequiredError(ForbiddenError, code="four_eyes_required", status=403):
    """An operator cannot decide on an application that the same operator made."""


class OperatorNotFoundError(NotFoundError, code="operator_not_found", status=404):
    """There is no such operator."""


class UnknownScopeError(InvalidInputError, code="unknown_scope", status=400):
    """There is no such scope, or none was given."""


class ScopeExceededError(ForbiddenError, code="scope_exceeded", status=403):
    """A key cannot give away scopes that it does not hold itself."""


class InvalidClaimError(UnauthenticatedError, code="invalid_claim_token", status=401):
    """This is not the claim token of an application."""


class ClaimUsedError(ConflictError, code="claim_used", status=409):
    """The first API key was taken with this claim token already."""


class ClaimExpiredError(ForbiddenError, code="claim_expired", status=403):
    """The claim token ran out 30 days after approval: apply again."""


class KeyNotFoundError(NotFoundError, code="api_key_not_found", status=404):
    """There is no such API key, or it is not yours."""


class KeyNotActiveError(ConflictError, code="api_key_not_active", status=409):
    """The API key is revoked or expired."""


class KeyRotatedError(ConflictError, code="api_key_rotated", status=409):
    """The API key was replaced already: rotate the one that replaced it."""


class TooManyKeysError(RefusedError, code="too_many_api_keys", status=422):
    """The partner has as many working API keys as it may have in this environment: revoke one."""


class LiveKeyRequiredError(ForbiddenError, code="live_key_required", status=403):
    """A sandbox key issues the first live key only; further ones are issued with a live key."""


class InvalidOverlapError(InvalidInputError, code="invalid_overlap", status=400):
    """The overlap is 0 to 604800 whole seconds."""


class InvalidNetworkError(InvalidInputError, code="invalid_network", status=400):
    """An IP allow list holds at most 50 addresses or networks (CIDR, without host bits)."""


class InvalidPreferencesError(InvalidInputError, code="invalid_preferences", status=400):
    """A preference has a value it cannot have."""


class OverdraftPermissionError(ForbiddenError, code="overdraft_not_allowed", status=403):
    """In live, accounts that may go below zero need the operator's permission."""


class InvalidCredentialsError(UnauthenticatedError, code="invalid_credentials", status=401):
    """The credentials are wrong."""


class KeyRevokedError(UnauthenticatedError, code="api_key_revoked", status=401):
    """The API key was revoked."""


class KeyExpiredError(UnauthenticatedError, code="api_key_expired", status=401):
    """The API key has expired."""


class OperatorDisabledError(UnauthenticatedError, code="operator_disabled", status=401):
    """The operator's access was taken away."""


class SignatureExpiredError(UnauthenticatedError, code="signature_expired", status=401):
    """The timestamp of the signed request is more than 300 seconds from the server's clock."""


class NonceReusedError(UnauthenticatedError, code="nonce_reused", status=401):
    """A request with this nonce was accepted already: every request needs another one."""


class AddressNotAllowedError(ForbiddenError, code="address_not_allowed", status=403):
    """The API key may not be used from this network address."""


class CertificationNotFoundError(NotFoundError, code="certification_not_found", status=404):
    """No certification run was started."""


class SandboxRequiredError(RefusedError, code="sandbox_required", status=422):
    """Certification happens in the sandbox: use a sandbox key."""


class CertificationIncompleteError(RefusedError, code="certification_incomplete", status=422):
    """Not every check of the certification was observed."""
