"""Entry points that other programs load. They import nothing heavy and cannot fail when they are imported."""
