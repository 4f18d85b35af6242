"""Source tasks of the built-in pool by name, and new images of them."""

from __future__ import annotations

from transfer_exp.dataset.procedural import fractals, glyphs, shapes, textures
from transfer_exp.dataset.procedural.task import draw_images
from transfer_exp.dataset.target_dataset import LabelledImages

SOURCE_TASKS = {task.name: task for task in (fractals.SOURCE, glyphs.SOURCE, shapes.SOURCE, textures.SOURCE)}
"""The tasks that the networks of the built-in pool were trained on."""
PER_CLASS, _SEED = 10, 2
"""Images of each class, and a seed that the training did not use."""


def source_images(source_dataset: str | None) -> LabelledImages | None:
    """Return ten new images per class of a source task, or None if the dataset is not one of `SOURCE_TASKS`."""
    task = SOURCE_TASKS.get(source_dataset or "")
    return None if task is None else draw_images(task, PER_CLASS, _SEED)
