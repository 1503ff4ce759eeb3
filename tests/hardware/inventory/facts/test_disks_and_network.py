from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hardware.inventory.facts import Disk, Filesystem, Nic, Raid
from hardware.inventory.facts.disks import read_controllers, read_df, read_lsblk, read_mdstat
from hardware.inventory.facts.network import read_ip, read_speeds

GIB = 1024**3


def test_df_is_read_whatever_its_unit_language_and_columns():
    blocks = read_df(
        "Filesystem     1024-blocks      Used Available Capacity Mounted on\n"
        "/dev/sda2        209715200  41943040 167772160      20% /\ndf: /nowhere: No such file or directory\n"
    )
    human = read_df(
        "Filesystem      Type  Size  Used Avail Use% Mounted on\n/dev/sda2       xfs   200G   40G  160G  20% /\n"
    )
    chinese = read_df("文件系统         1M-块  已用   可用 已用% 挂载点\n/dev/sda2       204800 40960 163840   20% /\n")
    assert blocks == human == chinese == (Filesystem("/", 200 * GIB, 160 * GIB),)


def test_a_long_device_has_a_line_of_its_own_and_a_mount_may_have_blanks():
    assert read_df(
        "Filesystem           1K-blocks  Used Available Use% Mounted on\n/dev/mapper/klas-a_volume_with_a_long_name\n"
        "                          1000    10       990   1% /data of ours\ntmpfs  5 - - - /run\n"
    ) == (Filesystem("/data of ours", 1024000, 990 * 1024),)


def test_an_array_with_a_missing_member_is_not_healthy():
    arrays = read_mdstat(
        "Personalities : [raid5]\nmd0 : active raid5 nvme1n1[1] nvme0n1[0]\n"
        "      2813315072 blocks super 1.2 level 5 [3/2] [UU_]\n"
    )
    assert arrays == (Raid("md0", "raid5", 2813315072 * 1024, False, ("nvme0n1", "nvme1n1")),)


def test_links_are_read_in_one_line_in_several_and_brief():
    several = read_ip(
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n"
        "2: enp1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n    link/ether 00:11:22:33:44:55 brd ff:ff:ff:ff:ff:ff\n"
        "    inet 10.1.1.5/24 brd 10.1.1.255 scope global enp1\n3: bond0.7@bond0: <BROADCAST> mtu 1500\n"
    )
    one = read_ip(
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n2: enp1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n"
        "3: bond0.7@bond0: <BROADCAST> mtu 1500\n",
        "2: enp1    inet 10.1.1.5/24 brd 10.1.1.255 scope global enp1\n",
    )
    brief = read_ip("lo UNKNOWN 127.0.0.1/8\nenp1 UP 10.1.1.5/24\nbond0.7@bond0 DOWN \n")
    assert several == one == brief == (Nic("enp1", True, None, ("10.1.1.5/24",)), Nic("bond0.7", False))


def test_speeds_come_from_sys_and_ethtool_and_an_unknown_one_is_none():
    assert read_speeds("/sys/class/net/enp1/speed 1000\nenp2 \tSpeed: 25000Mb/s\nenp3 Speed: Unknown!\n") == {
        "enp1": 1000,
        "enp2": 25000,
    }
    assert read_speeds("/sys/class/net/enp1/speed -1\nenp2 Speed: Unknown! (65535)\n") == {}


def test_addresses_are_those_of_ipv4():
    text = (
        "2: enp1: <BROADCAST,UP> mtu 1500\n    inet 10.1.1.5/24 brd 10.1.1.255 scope global enp1\n"
        "    inet6 fe80::1/64 scope link\n"
    )
    assert read_ip(text) == (Nic("enp1", True, None, ("10.1.1.5/24",)),)


@given(st.text() | st.text("/dev 0123456789%KGT:<UP>@\n-"))
def test_no_text_raises(text):
    read_df(text)
    read_mdstat(text)
    read_ip(text, text, text)


def test_an_array_tells_its_members_those_thrown_out_and_that_one_is_filled_again():
    (array, broken) = read_mdstat(
        "Personalities : [raid6] [raid5] [raid4]\n"
        "md0 : active raid5 nvme3n1[4] nvme2n1[2] nvme1n1[1](F) nvme0n1[0]\n"
        "      5626630144 blocks super 1.2 level 5, 512k chunk, algorithm 2 [4/3] [U_UU]\n"
        "      [=>...................]  recovery =  8.1% (152/1875) finish=80.1min speed=358634K/sec\n\n"
        "md127 : inactive sdb[1](S) sda[0](S)\n      976512 blocks super 1.2\n\nunused devices: <none>\n"
    )
    assert (array.level, array.healthy, array.rebuilding, array.failed) == ("raid5", False, True, ("nvme1n1",))
    assert array.members == ("nvme0n1", "nvme1n1", "nvme2n1", "nvme3n1")
    assert broken == Raid("md127", "", 976512 * 1024, False, ("sda", "sdb"))


def test_drives_are_read_with_what_the_tool_says_of_them():
    disks = read_lsblk(
        'NAME="sda" TYPE="disk" SIZE="480103981056" ROTA="1" TRAN="" VENDOR="AVAGO   " MODEL="HW-SAS3508      "\n'
        'NAME="nvme0n1" TYPE="disk" SIZE="1920383410176" ROTA="0" TRAN="nvme" VENDOR="" MODEL="HWE56P432T0005N"\n'
        'NAME="sr0" TYPE="rom" SIZE="1073741312" ROTA="1" TRAN="usb" VENDOR="" MODEL="Virtual"\nlsblk: odd line\n'
    )
    assert disks == (
        Disk("nvme0n1", 1920383410176, "HWE56P432T0005N", "nvme", False),
        Disk("sda", 480103981056, "AVAGO HW-SAS3508", None, True),
    )
    named = "05:00.0 RAID bus controller: Broadcom / LSI MegaRAID Tri-Mode SAS3508 (rev 01)\n06:00.0 Ethernet: x\n"
    assert read_controllers(named) == ("Broadcom / LSI MegaRAID Tri-Mode SAS3508",)


def test_the_ends_of_containers_are_no_nics():
    links = "2: eth0: <UP> mtu 1500\n7: veth1a2b@if6: <UP> mtu 1500\n8: cali9c@if3: <UP>\n9: bond0: <UP> mtu 9\n"
    assert [nic.name for nic in read_ip(links)] == ["eth0", "bond0"]


def test_inodes_are_no_blocks():
    inodes = "Filesystem      Inodes  IUsed   IFree IUse% Mounted on\n/dev/sda2      57671680 123456 57548224    1% /\n"
    blocks = "Filesystem     1K-blocks  Used Available Use% Mounted on\n/dev/sda2 100 50 40 56% /\n"
    assert read_df(inodes) == ()
    assert read_df(blocks + inodes) == read_df(inodes + blocks) == (Filesystem("/", 102_400, 40_960),)


def test_a_size_may_have_its_fraction_after_a_comma():
    text = "Filesystem Size Used Avail Use% Mounted on\n/dev/sda2 1,5K 512 1,0K 12% /\n"
    assert read_df(text) == (Filesystem("/", 1536, 1024),)


def test_a_link_without_a_carrier_is_down_however_it_is_listed():
    full = "3: eth1: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc mq state DOWN group default qlen 1000\n"
    assert read_ip(full) == read_ip("eth1             DOWN           \n") == (Nic("eth1", False, None),)


def test_brief_lists_give_the_addresses_of_ipv4_too():
    assert read_ip("eth0 UP 10.0.0.1/24 fe80::1/64 \n")[0].addresses == ("10.0.0.1/24",)
