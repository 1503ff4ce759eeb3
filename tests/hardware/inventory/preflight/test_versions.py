from __future__ import annotations

import pytest

from hardware.inventory.preflight.versions import key, within


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("24.1.rc1", "24.1.0"),
        ("24.1.0", "24.1.0.3"),
        ("23.0.rc3", "23.0.rc3.2"),
        ("8.0.RC3.alpha001", "8.0.0"),
        ("7.0.T10", "7.0.RC1"),
        ("2.6.0rc1", "2.6.0"),
        ("2.1.0", "2.1.0.post10"),
        ("7.5.0.2.220", "7.7.0.1.231"),
    ],
)
def test_candidates_come_before_their_release_and_patches_after_it(lower, higher):
    assert key(lower) < key(higher)


def test_what_is_not_said_counts_as_zero():
    assert key("24.1") == key("24.1.0") == key("v24.1.0")


# As drivers and firmware of 23.0 to 25.0 really write them.
@pytest.mark.parametrize(
    ("version", "low", "high", "inside"),
    [
        ("7.1.0.11.220", "7.0.0", "7.1.99", True),
        ("7.2.0", "7.0.0", "7.1.99", False),
        ("7.9.1", "6.0.0", "7.0.0", False),
        ("23.0.7", "23.0.0", "23.0.0.", True),
        ("23.1.0", "23.0.0", "23.0.0.", False),
        ("23.0.rc3", "23.0.0", "23.0.0.", False),
        ("23.0.rc3.2", "23.0.rc3", "23.0.rc3.", True),
        ("25.0.rc1.1", "25.0", "25.0.", True),
        ("25.2.0", "25.0", "25.0.", False),
        ("24.1.0", "24.1.rc1", "24.1.rc3.", False),
    ],
)
def test_a_bound_speaks_of_the_parts_that_it_names(version, low, high, inside):
    assert within(version, low, high) is inside
