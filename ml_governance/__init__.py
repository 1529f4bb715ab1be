"""Signed evidence, honest fairness statistics and policy gates for machine-learning models."""

__version__ = "0.1.0"
