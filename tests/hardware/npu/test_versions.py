from __future__ import annotations

import pytest

from hardware.npu import versions
from tests.shared import FOLDER, needs_shared

OTHER = FOLDER / "ascend/other"


def test_a_driver_names_the_firmware_that_it_runs_with():
    info = versions.read_version_info(
        b"\xef\xbb\xbfVersion=24.1.0\r\nInnerversion=V100R001C20SPC001B220\r\n"
        b"compatible_version=[V100R001C19],[V100R001C20]\r\ncompatible_version_fw=[7.0.0, 7.5.99],[7.7.0.1.231]\r\n"
        b'package_version="24.1.0"\r\n'
    )
    assert (info.version, info.package_version, info.inner_version) == ("24.1.0", "24.1.0", "V100R001C20SPC001B220")
    assert info.ranges == {
        "fw": (("7.0.0", "7.5.99"), ("7.7.0.1.231", "7.7.0.1.231")),
        "": (("V100R001C19", "V100R001C19"), ("V100R001C20", "V100R001C20")),
    }


def test_a_file_that_says_nothing_has_nothing():
    assert versions.read_version_info("cat: version.info: No such file or directory\n") == versions.VersionInfo()
    assert versions.read_install_info("") == versions.InstallInfo()


@pytest.mark.parametrize("said", ["[7.0.0,],[8.0.0]", "(7.0.0,7.1.9],[8.0.0]", "[7.0.0", "7.0.0", "[]"])
def test_of_ranges_that_are_only_half_understood_none_is_told(said):
    assert versions.ranges(said) == ()


def test_an_installation_says_whether_it_was_finished():
    info = versions.read_install_info(
        "UserName=HwHiAiUser\nDriver_Install_Status=installing\nDriver_Install_For_All=no\n"
    )
    assert (info.user, info.complete, info.for_all) == ("HwHiAiUser", False, False)
    assert versions.read_install_info("Driver_Install_Status=complete").complete is True


@needs_shared
@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("driver-version.info--23.0.7.txt",
         {"version": "23.0.7", "package_version": "23.0.7", "inner_version": "V100R001C15SPC012B220"}),
        ("firmware-version.info--7.1.0.11.220.txt",
         {"version": "7.1.0.11.220", "package_version": "23.0.7",
          "ranges": {"drv": (("23.0.rc3", "23.0.rc3."), ("23.0.0", "23.0.0."))}}),
        ("ascend_toolkit_install.info--8.0.0-aarch64.txt",
         {"version": "8.0.0", "package_name": "Ascend-cann-toolkit", "architecture": "aarch64",
          "path": "/usr/local/Ascend/ascend-toolkit/8.0.0/aarch64-linux"}),
        ("ascend_toolkit_install.info--8.2.RC1-aarch64.txt",
         {"version": "8.2.RC1", "inner_version": "V100R001C22SPC001B231"}),
        ("ascend_toolkit_install.info--7.0.T10-aarch64.txt", {"version": "7.0.T10", "architecture": "aarch64"}),
        ("ascend_nnae_install.info--8.0.RC3-x86.txt",
         {"version": "8.0.RC3", "package_name": "Ascend-cann-nnae", "architecture": "x86_64",
          "ranges": {"": (("V100R001C13", "V100R001C19"), ("V100R001C30", "V100R001C30"))}}),
    ],
)  # fmt: skip
def test_a_shared_sample_says_its_version(file, values):
    info = versions.read_version_info((OTHER / file).read_bytes())
    assert {name: getattr(info, name) for name in values} == values


@needs_shared
def test_the_shared_driver_fits_firmware_of_a_range_and_the_installation_its_user():
    info = versions.read_version_info((OTHER / "driver-version.info--23.0.7.txt").read_bytes())
    assert info.ranges["fw"] == (("7.0.0", "7.1.99"),)
    install = versions.read_install_info((OTHER / "ascend_install.info--910A--24.1.0.txt").read_bytes())
    assert (install.user, install.group, install.driver_type) == ("HwHiAiUser", "HwHiAiUser", "full")
    assert (install.driver_path, install.firmware_path) == ("/usr/local/Ascend", "/usr/local/Ascend")
    assert (install.for_all, install.complete) == (True, None)
