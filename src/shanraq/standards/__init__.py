"""Standards of payments as libraries of their own: no IO, no clock, nothing of the platform; usable by strangers."""
