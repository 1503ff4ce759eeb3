from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.inventory.facts.modules import Module, read_dkms
from hardware.inventory.facts.system import Release, read_release
from tests.shared import FOLDER, needs_shared

OTHER = FOLDER / "ascend/other"
KYLIN = (
    'NAME="Kylin Linux Advanced Server"\nVERSION="V10{0}"\nID="kylin"\nVERSION_ID="V10"\n'
    'PRETTY_NAME="Kylin Linux Advanced Server V10{0}"\n'
)


@pytest.mark.parametrize(
    ("codename", "pack"), [("Tercel", "SP1"), ("Sword", "SP2"), ("Lance", "SP3"), ("Halberd", None)]
)
def test_the_codename_tells_kylins_service_pack(codename, pack):
    release = read_release(KYLIN.format(f" ({codename})"), "4.19.90-24.4.v2101.ky10.aarch64")
    assert (release.id, release.version_id, release.codename, release.service_pack) == ("kylin", "V10", codename, pack)
    alone = read_release(f"Kylin Linux Advanced Server release V10 ({codename})\n")
    assert (alone.id, alone.version_id, alone.service_pack) == ("kylin", "V10", pack)


@pytest.mark.parametrize(
    ("kernel", "pack"),
    [("4.19.90-24.4.v2101.ky10.aarch64", "SP2"), ("4.19.90-52.22.v2207.ky10.aarch64", "SP3"),
     ("4.19.90-89.11.v2401.ky10.aarch64", "SP3"), ("5.10.0-1.aarch64", None), (None, None)],
)  # fmt: skip
def test_without_a_codename_the_kernel_tells_it(kernel, pack):
    assert read_release(KYLIN.format(""), kernel).service_pack == pack


def test_another_system_has_no_service_pack_of_kylin():
    text = 'NAME="openEuler"\nVERSION="22.03 (LTS-SP3)"\nID="openEuler"\nVERSION_ID="22.03"\n'
    assert read_release(text, "4.19.90-24.4") == Release("openeuler", None, "22.03", None, None)


@needs_shared
@pytest.mark.parametrize(
    ("file", "release"),
    [
        ("os-release--kylin-V10-Tercel-SP1.txt",
         Release("kylin", "Kylin Linux Advanced Server V10 (Tercel)", "V10", "Tercel", "SP1")),
        ("kylin-release--V10-Sword-SP2.txt",
         Release("kylin", "Kylin Linux Advanced Server release V10 (Sword)", "V10", "Sword", "SP2")),
        ("kylin-release--V10-Lance-SP3.txt",
         Release("kylin", "Kylin Linux Advanced Server release V10 (Lance)", "V10", "Lance", "SP3")),
        ("etc-release--openEuler-22.03-LTS.txt", Release("openeuler", "openEuler 22.03 LTS", "22.03", None, None)),
    ],
)  # fmt: skip
def test_a_shared_sample_says_its_release(file, release):
    assert read_release((OTHER / file).read_text()) == release


def test_dkms_of_both_generations_says_what_is_built_for_which_kernel():
    assert read_dkms(
        "davinci_ascend/1.0, 6.6.0-144.0.0.130.oe2403sp3.aarch64, aarch64: installed\n"
        "davinci_ascend, 1.0, 4.19.90-24.4.v2101.ky10.aarch64, aarch64: installed (WARNING! Diff between built and "
        "installed module!)\ndavinci_ascend/1.0: added\nsh: dkms: not found\n"
    ) == (
        Module("davinci_ascend", "1.0", "6.6.0-144.0.0.130.oe2403sp3.aarch64", "aarch64", "installed"),
        Module(
            "davinci_ascend", "1.0", "4.19.90-24.4.v2101.ky10.aarch64", "aarch64", "installed",
            "WARNING! Diff between built and installed module!",
        ),
        Module("davinci_ascend", "1.0", None, None, "added"),
    )  # fmt: skip


@needs_shared
def test_the_shared_sample_of_dkms_is_installed():
    [module] = read_dkms((OTHER / "dkms-status--davinci.txt").read_text())
    assert (module.name, module.version, module.state) == ("davinci_ascend", "1.0", "installed")


@given(st.text() | st.text('KylinV10()release="\n '))
def test_no_text_raises(text):
    read_release(text, text)
    read_dkms(text)


@pytest.mark.parametrize("line", ["Kylin Linux Advanced Server release V10 (SWORD)", "kylin release V10 (sword)"])
def test_the_codename_counts_in_any_case(line):
    release = read_release(f"{line}\r\n")
    assert (release.id, release.service_pack) == ("kylin", "SP2")
