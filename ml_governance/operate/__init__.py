"""Serving what was promoted: whether it still may be served, what it predicts, and how that compares with what was approved."""
