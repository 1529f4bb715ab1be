"""``python -m ml_governance.cli``."""

from ml_governance.cli import main

main()
