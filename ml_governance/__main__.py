"""``python -m ml_governance``: mlgov, where its script is not on the path."""

from ml_governance.cli import main

if __name__ == "__main__":
    main()
