"""Acting on a decision: registries, and the gate in front of them."""
