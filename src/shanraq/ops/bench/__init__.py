"""Measurements: each returns its figures, with the foreign yardstick of the same run beside them."""
