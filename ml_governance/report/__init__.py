"""Views of the ledger: the audit pack as data, and the forms that people and programs read."""
