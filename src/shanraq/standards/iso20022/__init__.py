"""ISO 20022: read, validate and explain payment messages of any version."""
