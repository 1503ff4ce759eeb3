"""A Redfish client for Huawei's iBMC: heat, fans, and who sets their level. No Django here.

Names of fields, their order in a request and what the board refuses: ``docs/bmc.md`` cites where they are from.
"""

from hardware.bmc.redfish.client import Redfish
from hardware.bmc.redfish.connection import Access, read_fingerprint
from hardware.bmc.redfish.errors import (
    BmcFailure,
    BmcLoginRefused,
    BmcRefused,
    BmcUnreachable,
    CertificateChanged,
    CertificateNotPinned,
)
from hardware.bmc.redfish.thermal import Thermal, hand_back, hold, read_thermal

__all__ = [
    "Access", "BmcFailure", "BmcLoginRefused", "BmcRefused", "BmcUnreachable", "CertificateChanged",
    "CertificateNotPinned", "Redfish", "Thermal", "hand_back", "hold", "read_fingerprint", "read_thermal",
]  # fmt: skip
