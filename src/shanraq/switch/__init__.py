"""The ISO 8583 gateway: terminals connect, and their messages drive the same payments as the REST API."""
