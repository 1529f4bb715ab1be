"""Hooks that record what happens while a model is made."""
