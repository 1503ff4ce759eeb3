"""Fields of REST that several serializers have."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from hardware.inventory.address import address


class AddressField(serializers.CharField):
    """An address or a host name, as it is kept."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return address(super().to_internal_value(data))
        except ValueError as wrong:
            raise serializers.ValidationError(str(wrong)) from wrong
