"""What ``mlgov demo`` runs: real data, a real pipeline, and the story told with them."""
