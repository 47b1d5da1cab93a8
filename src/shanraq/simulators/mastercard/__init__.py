"""A simulator of Mastercard: what its add-ons answer."""
