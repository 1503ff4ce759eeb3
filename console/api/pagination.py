from typing import Any

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """Cursor pages by id: nothing is skipped or shown twice while rows are added. ``page_size`` up to 500."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """As OpenAPI 3.1 says that a value may be null; the framework's own words are those of 3.0."""
        link = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}
