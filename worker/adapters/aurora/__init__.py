"""The ledger on PostgreSQL (Aurora in AWS): connection, statements, transactions, migrations."""
