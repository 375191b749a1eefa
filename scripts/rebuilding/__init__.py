"""How Redis is made equal to the ledger, page by page."""
