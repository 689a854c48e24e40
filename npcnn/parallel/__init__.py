"""Many processes that train one network together, on one machine or on many, by MPI (an extra, ``[mpi]``).

    mpiexec -n 4 python examples/train_cifar.py

starts four *ranks*.  Each has the whole network, and takes a share of the pictures of every batch; what is summed over
a batch they add up with one another while backward goes on.  The bits are those of one process: the batch is cut into
fixed parts, which are dealt out to the ranks and added in one fixed tree (`npcnn.functional.batch_parts`).

============================  ================================================================
module                        what is there
============================  ================================================================
`sums`                        sums over all ranks, in a fixed order, begun and completed later
`mpi`                         the ranks of mpiexec: who they are, and how they end together
============================  ================================================================
"""

from npcnn.functional.batch_parts import Alone, Cut, Ranks
from npcnn.parallel.mpi import MPIRanks, failed, is_first, join, refuse_differences, started_by_mpi
from npcnn.parallel.sums import Sums

__all__ = [
    "Alone",
    "Cut",
    "MPIRanks",
    "Ranks",
    "Sums",
    "failed",
    "is_first",
    "join",
    "refuse_differences",
    "started_by_mpi",
]
