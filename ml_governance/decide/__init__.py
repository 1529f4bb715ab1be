"""Judging evidence by a policy: pure functions from verified evidence, a policy and a time to a decision."""
