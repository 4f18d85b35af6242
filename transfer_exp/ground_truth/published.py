"""Accuracies that other people measured and published, carried in the package with their sources."""

from __future__ import annotations

from transfer_exp.ground_truth.table import AccuracyTable
from transfer_exp.io.accuracies import PUBLISHED


def published(pool: str | None = None, regime: str | None = "vanilla_ft", unsound: bool = False) -> AccuracyTable:
    """Return the published accuracies of one pool, adapted in one way.

    Nine sources: the eleven supervised CNNs and twelve self-supervised ResNet-50s of Spread-Attract's lineage, thirteen
    ViTs (EMMS), TLLIB, Model-Spider, PARC, TransferGraph; the column ``source`` says which. Accuracies of one nominal
    cell differ between pools, each of which was fine-tuned in its own way, and are never mixed.

    Parameters
    ----------
    pool
        As the table has it, ``group1_supervised_cnn11`` say.
    regime
        ``vanilla_ft``, ``last_block_ft`` or ``linear_ft`` in the lineage; as the table has it elsewhere.
    unsound
        Use cells marked unsound, too: sun397, cifar10 and cifar100 in the lineage's ``last_block_ft`` and
        ``linear_ft``. They look like training accuracy (sun397: 91 and 99 % with the last block, 62 and 60 % with full
        fine-tuning, in the mean of either pool), and the released loaders do read the training split there.
    """
    return AccuracyTable(str(PUBLISHED), regime, pool, unsound=unsound)
