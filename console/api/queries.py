"""The filters of a list must be known, and their values read: one that is misspelt would be left out without a word,
and the list would come whole.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters.constants import EMPTY_VALUES
from django_filters.rest_framework import DjangoFilterBackend
from django_filters.utils import translate_validation
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from console.api.unread import FORM, unknown_names
from hardware.strict import PLACE


class KnownFilters(DjangoFilterBackend):
    """The filters of a list; another name is refused, and so is a value that a filter takes for none."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        filters = self.get_filterset(request, queryset, view)
        known = set(filters.filters) if filters is not None else set()
        if getattr(view, "action", None) == "list" and (others := request.query_params.keys() - known - PLACE - {FORM}):
            raise serializers.ValidationError(unknown_names(others))
        if filters is None:
            return queryset
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        read = filters.form.cleaned_data
        if lost := [name for name in read if request.query_params.get(name) and read[name] in EMPTY_VALUES]:
            raise serializers.ValidationError({name: [_("This can't be read.")] for name in lost})
        found: QuerySet[Any] = filters.qs
        return found
