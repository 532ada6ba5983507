"""Writes docs/events.schema.json: `python tests/node/write_events_schema.py`."""

import json
from pathlib import Path

from paris.node.view.schema import events_schema

if __name__ == "__main__":
    path = Path(__file__).parents[2] / "docs" / "events.schema.json"
    path.write_text(json.dumps(events_schema(), indent=1, sort_keys=True) + "\n", "utf-8")
