"""A simulator of the Mastercard Gateway (REST-JSON, version 100), stateful and strict."""
