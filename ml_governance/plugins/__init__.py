"""What other programs load: each module is tiny, imports nothing heavy, and cannot raise."""
