"""All kinds of bad input."""

from __future__ import annotations

from tests.bad_input import arrays, command_line, commands, image_tables, images, reports, tables, weights

PARTS = (command_line, commands, images, image_tables, arrays, weights, tables, reports)
KINDS = [kind for part in PARTS for kind in part.KINDS]
