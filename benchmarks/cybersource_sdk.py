"""Count the CPU of the official CyberSource SDK a call: run by `shanraq bench cards` with the interpreter that has the SDK.

Arguments: base URL, merchant id, key id, number of calls; the shared secret on standard input. Prints JSON. A client
object is made for each call, as the SDK's samples do, and then one is kept for all.
"""

import json
import sys
import time

from CyberSource import PaymentsApi

url, merchant_id, key_id, number = sys.argv[1:5]
CONFIGURATION = {
    "authentication_type": "jwt",
    "jwt_key_type": "SHARED_SECRET",
    "merchantid": merchant_id,
    "merchant_keyid": key_id,
    "merchant_secretkey": sys.stdin.read().strip(),
    "run_environment": "apitest.cybersource.com",
    "IntermediateHost": url,
}


def body(code: str) -> str:
    """Return an authorisation as the SDK takes it: JSON with keys in snake case."""
    return json.dumps(
        {
            "client_reference_information": {"code": code, "transaction_id": code},
            "processing_information": {"capture": False, "commerce_indicator": "internet"},
            "payment_information": {
                "card": {
                    "number": "4111111111111111",
                    "expiration_month": "12",
                    "expiration_year": "2031",
                    "security_code": "123",
                    "type": "001",
                }
            },
            "order_information": {
                "amount_details": {"total_amount": "102.21", "currency": "KZT"},
                "bill_to": {
                    "first_name": "Aigerim",
                    "last_name": "Testova",
                    "address1": "Abay 1",
                    "locality": "Almaty",
                    "postal_code": "050000",
                    "country": "KZ",
                    "email": "test@example.com",
                },
            },
        }
    )


def main() -> None:
    """Call, count, print."""
    kept = PaymentsApi(dict(CONFIGURATION))
    print(
        json.dumps(
            {
                "cpu_milliseconds": measure(lambda: PaymentsApi(dict(CONFIGURATION))),
                "cpu_milliseconds_kept": measure(lambda: kept),
            }
        )
    )


def measure(client) -> float:  # type: ignore[no-untyped-def]  # run by an interpreter of its own
    """Return the CPU milliseconds of one authorisation with the client that `client` gives for each."""
    spent = 0.0
    for turn in range(-5, int(number)):
        if turn == 0:
            spent = time.process_time()
        _, status, answer = client().create_payment(body(f"sdk{turn}x{time.time_ns()}"[:30]))
        if status != 201 or json.loads(answer)["status"] != "AUTHORIZED":
            raise SystemExit(f"not authorised: {status} {answer}")
    return (time.process_time() - spent) / int(number) * 1000


if __name__ == "__main__":
    main()
