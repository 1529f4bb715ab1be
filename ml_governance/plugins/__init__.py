"""Entry points that other programs load. MLflow imports some of them whenever it is imported: they are tiny, and cannot raise."""
