"""What a growing ledger is measured with: ballast, batches, the servers' CPU, the statements' plans."""
