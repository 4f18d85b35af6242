"""An offline run of W&B, read back from its file."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path


def records(path):
    """Yield a run's complete records: 7 bytes of header, then chunks in 32 KiB blocks (LevelDB's log format)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, message = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        if position + 7 + length > len(data):
            return  # The service is still writing this one.
        message = (b"" if kind in (1, 2) else message) + data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(message)
            yield record


def read_offline(folder):
    """Return what a run recorded, once the service has written the last record.

    ``history`` holds the last value of each name, ``rows`` all values in their order, ``axes`` the axis of each name.
    """
    (path,) = Path(folder).glob("*.wandb")
    until = time.monotonic() + 20
    while "exit" not in {record.WhichOneof("record_type") for record in records(path)} and time.monotonic() < until:
        time.sleep(0.02)
    contents = {"config": {}, "summary": {}, "history": {}, "artifacts": {}, "rows": [], "axes": {}, "exit": None}
    for record in records(path):
        if record.HasField("exit"):
            contents["exit"] = record.exit.exit_code
        if record.HasField("metric"):
            contents["axes"][record.metric.name] = record.metric.step_metric
        if record.HasField("history"):
            items = record.history.item
            contents["rows"].append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
        if record.HasField("run"):
            contents["run"] = record.run
        if record.HasField("artifact"):
            contents["artifacts"][record.artifact.name] = record.artifact
        for part, items in (
            ("config", record.run.config.update),
            ("config", record.config.update),
            ("summary", record.summary.update),
            ("history", record.history.item),
        ):
            contents[part] |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
    return contents
