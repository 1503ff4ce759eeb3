"""What the OpenAPI document says beyond the views: every operation may be answered with a problem."""

from __future__ import annotations

from typing import Any

from console.api.errors import CONTENT_TYPE

_TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "A problem (RFC 9457). errors names the fields that are wrong, field the one, mend what to do.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "mend": _TEXT,
        "field": _TEXT,
        "machine": _TEXT,
        "errors": {},
    },
    "required": ["type", "title", "status", "code"],
}


def problems(result: dict[str, Any], **_more: Any) -> dict[str, Any]:
    """A hook of drf-spectacular, called with the whole document."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for methods in result["paths"].values():
        for said in methods.values():
            said["responses"]["default"] = {"description": "What went wrong.", "content": content}
    return result
