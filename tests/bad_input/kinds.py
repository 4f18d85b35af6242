"""Every kind of bad input, each under a name of its own."""

from __future__ import annotations

from tests.bad_input import arrays, command_line, images, reports, tables, weights

KINDS = [kind for part in (command_line, images, arrays, weights, tables, reports) for kind in part.KINDS]
