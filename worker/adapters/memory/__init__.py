"""In-memory twins of the ports: real implementations that pass the same contract tests as the real edges.

They serve unit tests, which need no server then, and show in few lines what a port demands.
"""

from worker.adapters.memory.classes import MemoryClasses
from worker.adapters.memory.disclosures import MemoryDisclosures
from worker.adapters.memory.dossiers import MemoryDossiers
from worker.adapters.memory.edges import (
    MemoryCheckpointer,
    MemoryMetrics,
    MemoryProducer,
    MemoryVault,
)
from worker.adapters.memory.epochs import MemoryEpochs, MemoryPastEpochs
from worker.adapters.memory.erasing import MemoryErasing
from worker.adapters.memory.history import MemoryHistory
from worker.adapters.memory.leases import MemoryLeases
from worker.adapters.memory.ledger import MemoryLedger
from worker.adapters.memory.letters import MemoryLetters
from worker.adapters.memory.projection import MemoryProjection
from worker.adapters.memory.records import MemoryRecords
from worker.adapters.memory.registers import MemoryRegisters
from worker.adapters.memory.rekeying import MemoryRekeying
from worker.adapters.memory.retaining import MemoryRetaining

__all__ = [
    "MemoryCheckpointer",
    "MemoryClasses",
    "MemoryDisclosures",
    "MemoryDossiers",
    "MemoryEpochs",
    "MemoryErasing",
    "MemoryHistory",
    "MemoryLeases",
    "MemoryLedger",
    "MemoryLetters",
    "MemoryMetrics",
    "MemoryPastEpochs",
    "MemoryProducer",
    "MemoryProjection",
    "MemoryRecords",
    "MemoryRegisters",
    "MemoryRekeying",
    "MemoryRetaining",
    "MemoryVault",
]
