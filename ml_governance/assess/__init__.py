"""Numbers about a model, each with its uncertainty; no thresholds, no verdicts."""
