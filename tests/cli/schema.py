# SPDX-License-Identifier: GPL-2.0-only
"""Checks JSON against docs/exittop.schema.json, more strictly than readers may: a member that the
schema does not describe is an error."""

import copy
import json
import subprocess
import tempfile

from command_line import SOURCE

SCHEMA = SOURCE / "docs/exittop.schema.json"


def _strict(schema):
    """The same schema without members that it does not describe."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if "properties" in strict and isinstance(strict.get("type"), str):
        strict.setdefault("additionalProperties", False)
    return strict


def complaint(text: str) -> str:
    """What is wrong with a line of JSON; empty if nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as schema, \
            tempfile.NamedTemporaryFile("w", suffix=".json") as instance:
        json.dump(_strict(json.loads(SCHEMA.read_text())), schema)
        instance.write(text)
        schema.flush()
        instance.flush()
        done = subprocess.run(["jsonschema", "-i", instance.name, schema.name], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]


def without(document: dict, *path: str) -> dict:
    """A copy without one member, which the path leads to; lists are followed at their first."""
    copied = copy.deepcopy(document)
    inner = copied
    for name in path[:-1]:
        inner = inner[name][0] if isinstance(inner[name], list) else inner[name]
    del inner[path[-1]]
    return copied
