"""An explicit-state model of the consumer protocol, explored breadth-first; `docs/protocol.md` explains it.

Each atomic act on a store is one step: a SQL transaction, a single statement, a Lua script, a checkpoint.
Each guard of the protocol can be taken away (`Guards`), and then a small configuration has a counterexample.

    state           what the stores and processes hold
    world           a configuration, the guards, and what follows from them once
    ledger, redis   what PostgreSQL and Redis do in one step: worker/sql/ledger.sql, worker/lua/*
    pipeline, projecting, sweeping, reading
                    the steps of the modules of the same names in worker/stream
    deleting        erase and retention
    faults          what may go wrong between any two steps
    invariants      what must hold all the same
    explore         the search, and the shortest way to a violation
    configurations, ablations
                    what is explored: small, large, and one configuration for each guard
"""
