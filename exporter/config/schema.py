"""The JSON Schema of a config, for editors: completion, and mistakes shown while typing.

`python -m exporter.config.schema` writes it; config.schema.json is that output. It is a little
more lenient than load_config, which decides: the schema does not cover what depends on other
keys, on files or on the environment.
"""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from exporter.config.models import Config
from exporter.config.units import SIZE_PATTERN, format_duration, format_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_Schema = dict[str, Any]

_HOST = "HostConfig"
_HOST_DEFAULTS = "HostDefaults"
_NOT_IN_DEFAULTS = ("name", "url")


def config_schema() -> dict[str, Any]:
    """Return the schema of a whole config file."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    # What a host lacks may stand in host_defaults.
    definitions[_HOST]["required"] = list(_NOT_IN_DEFAULTS)
    definitions[_HOST_DEFAULTS] = _defaults_of(definitions[_HOST])
    defaults = schema["properties"]["host_defaults"]["description"]
    reference = {"$ref": f"#/$defs/{_HOST_DEFAULTS}", "description": defaults}
    schema["properties"]["host_defaults"] = reference
    tidied = _tidied(schema)
    tidied["title"] = "brainycp-exporter config"
    return {"$schema": DIALECT, **tidied}


def schema_text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def _defaults_of(host: _Schema) -> _Schema:
    result = copy.deepcopy(host)
    del result["required"]
    for key in _NOT_IN_DEFAULTS:
        del result["properties"][key]
    result["description"] = "Keys of every host that does not give them itself."
    return result


def _tidied(schema: Any) -> Any:
    """Return `schema` without titles and nulls, with defaults as a config writes them."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _tidied(value) for key, value in schema.items() if not _is_noise(key, value)}
    if "patternProperties" in result:
        result["additionalProperties"] = False
    options = [item for item in result.get("anyOf", []) if item != {"type": "null"}]
    if len(options) == 1:
        del result["anyOf"]
        result = options[0] | result
    default = result.get("default")
    if isinstance(default, int | float) and result.get("type") == "string":
        is_size = result["pattern"] == SIZE_PATTERN
        result["default"] = format_size(int(default)) if is_size else format_duration(default)
    return result


def _is_noise(key: str, value: object) -> bool:
    # A property may be called title, but its value is a schema then.
    is_title = key == "title" and isinstance(value, str)
    # A section's default repeats the defaults of its keys.
    return is_title or (key == "default" and (value is None or isinstance(value, dict)))


if __name__ == "__main__":
    sys.stdout.write(schema_text())
