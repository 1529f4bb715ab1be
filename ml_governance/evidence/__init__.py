"""Signed statements about digests, in one append-only, verifiable log."""
