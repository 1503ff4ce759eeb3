from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """Cursor pages by id: nothing is skipped or shown twice while rows are added. ``page_size`` up to 500."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
