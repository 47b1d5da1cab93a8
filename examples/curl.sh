#!/usr/bin/env bash
# The whole way with curl: apply, approve, claim a key, open an account, tokenise a card, authorise, capture.
#   examples/curl.sh http://127.0.0.1:8080 OPERATOR_TOKEN
set -euo pipefail
url=${1:?the address of the platform} operator=${2:?the token of an operator}

field() { python3 -c 'import json, sys; value = json.load(sys.stdin)
for name in sys.argv[1].split("."): value = value[name]
print(value)' "$1"; }
json=(-H 'Content-Type: application/json')
ask() { curl --silent --show-error --fail-with-body "$@"; }
key() { echo "Idempotency-Key: $(python3 -c 'import uuid; print(uuid.uuid4())')"; }

application=$(ask "${json[@]}" "$url/v1/partner-applications" -d '{"legal_name": "TOO Curl", "country": "KZ",
  "registration_number": "990340006003", "contact_email": "curl@example.com", "website": "https://example.com"}')
partner=$(field partner.id <<<"$application") claim=$(field claim_token <<<"$application")
ask -X POST -H "Authorization: Bearer $operator" "$url/v1/partners/$partner/approve" >/dev/null
issued=$(ask "${json[@]}" "$url/v1/partner-applications/claim" -d "{\"claim_token\": \"$claim\"}")
credentials=$(field key.id <<<"$issued"):$(field secret <<<"$issued")
echo "partner $partner has the key ${credentials%%:*}"

account=$(ask -u "$credentials" "${json[@]}" "$url/v1/accounts" -d '{"currency": "KZT", "name": "shop"}' | field id)
card=$(ask -u "$credentials" "${json[@]}" -H "$(key)" "$url/v1/payment-methods" \
  -d '{"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2031}' | field id)
payment=$(ask -u "$credentials" "${json[@]}" -H "$(key)" "$url/v1/payments" \
  -d "{\"payment_method_id\": \"$card\", \"account_id\": \"$account\", \"amount\": 1500000, \"currency\": \"KZT\"}" | field id)
status=$(ask -u "$credentials" "${json[@]}" -H "$(key)" "$url/v1/payments/$payment/capture" -d '{}' | field status)
balance=$(ask -u "$credentials" "$url/v1/accounts/$account/balance" | field posted)
echo "payment $payment is $status, the account holds $balance tiyn"
