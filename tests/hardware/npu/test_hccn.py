from __future__ import annotations

import pytest

from hardware.npu import hccn
from tests.shared import FOLDER, needs_shared

OTHER = FOLDER / "ascend/other"


def test_addresses_stand_in_the_conf_by_npu():
    found = hccn.read_conf(
        "address_1=192.168.20.21\nnetmask_1=255.255.255.0\n# a note\naddress_0 = 192.168.10.21\r\n"
        "gateway_0=192.168.10.1\nnetdetect_0=192.168.10.1\nsend_arp_status_0=1\narp_0=x\naddress_12=\n"
    )
    assert list(found) == [0, 1]
    assert found[0] == hccn.Address("192.168.10.21", None, "192.168.10.1", "192.168.10.1")
    assert found[1] == hccn.Address("192.168.20.21", "255.255.255.0")


@needs_shared
def test_npus_four_apart_share_a_subnet_on_a_first_generation_board():
    found = hccn.read_conf((OTHER / "hccn.conf--8card-4subnets.txt").read_bytes())
    assert [found[npu].address for npu in (0, 4)] == ["192.168.10.21", "192.168.10.22"]
    assert len(found) == 8 and found[7] == hccn.Address("192.168.40.22", "255.255.255.0")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("link status: UP\n", {"link": "UP"}),
        ("[root@h ~]# /usr/local/Ascend/driver/tools/hccn_tool -i 3 -link -g\nlink status: DOWN\n",
         {"command": "hccn_tool -i 3 -link -g", "device": 3, "link": "DOWN"}),
        ("ipaddr:10.20.0.3\nnetmask:255.255.255.0\n", {"address": "10.20.0.3", "netmask": "255.255.255.0"}),
        ("net health status: Success\n", {"health": "Success"}),
        ("Netdev status:Settings for eth3:\n\tSpeed: 200000Mb/s\n\tLink detected: yes\n", {"speed_mbps": 200000}),
        ("device 3 PING 10.20.11.16\nrecv seq=0,time=0.137000ms\n3 packets transmitted, 2 received, 33.33% packet "
         "loss\n",
         {"device": 3, "lost_percent": 33.33}),
        ("[devid 5]link up count       : 2\n[devid 5]link change records :\n"
         "[devid 5]    Tue Aug  1 14:43:40 2022    LINK UP\n[devid 5]    Tue Aug  1 14:43:26 2022    LINK DOWN\n",
         {"device": 5, "changes": [("Tue Aug  1 14:43:40 2022", "UP"), ("Tue Aug  1 14:43:26 2022", "DOWN")]}),
        ("    dev_id:6, tls switch[1](0:disable, 1:enable), tls preconfigured[1](0:non-preset, 1:preset)\n",
         {"device": 6, "fields": {"tls switch": 1}}),
        ("fec mode: no FEC mode\n", {"fields": {"fec mode": "no FEC mode"}}),
        ("packet statistics:\nroce_rx_err_pkt_num:0\nroce_tx_err_pkt_num:17\n",
         {"fields": {"packet statistics": None, "roce_rx_err_pkt_num": 0, "roce_tx_err_pkt_num": 17}}),
        ("    default gateway:192.168.6.1, Iface:eth0\n",
         {"fields": {"default gateway": "192.168.6.1", "Iface": "eth0"}}),
        ("temperature          : 47 C\nTx Power0            : 4.4035 mW\npresent : not present\nHost SNR Lane0 : NA\n",
         {"fields": {"temperature": (47, "C"), "Tx Power0": (4.4035, "mW"), "present": "not present",
                     "Host SNR Lane0": None}}),
    ],
)  # fmt: skip
def test_an_answer_of_hccn_tool_is_read(text, values):
    report = hccn.read_hccn(text)
    assert {name: getattr(report, name) for name in values} == values
    assert (report.error, report.warnings) == (None, [])


@pytest.mark.parametrize(
    ("text", "code", "warnings"),
    [
        ("call drvMngGetConsoleLogLevel failed , g_conLogLevel = 3\nCommand execute failed!\n", "failed", 1),
        ("Device ID is out of the valid range.\nCmd execute failed!\n", "invalid-device", 1),
        ("Device 9 is not exist!\n", "invalid-device", 0),
        ("bash: hccn_tool: command not found\n", "hccn_tool-missing", 0),
        ("bash: hccn_tool：未找到命令\n".encode("gbk"), "hccn_tool-missing", 0),
        ("Command execute failed!\nParameter error.\n", "invalid-parameter", 1),
        ("This cmd is not supported on this device.\n", "unsupported", 0),
    ],
)
def test_an_error_of_hccn_tool_is_the_one_that_says_why(text, code, warnings):
    report = hccn.read_hccn(text)
    assert report.error is not None and report.error.code == code and report.error.likely_cause
    assert len(report.warnings) == warnings


def test_a_routing_table_is_read_by_its_header():
    report = hccn.read_hccn(
        "Routing table:\nDestination     Gateway   Genmask         Flags Metric Ref Use Iface\n"
        "10.20.11.0      *         255.255.255.0   U     0      0   0   eth3\nbroken\n"
    )
    assert report.tables == [
        [
            {
                "Destination": "10.20.11.0", "Gateway": "*", "Genmask": "255.255.255.0", "Flags": "U", "Metric": "0",
                "Ref": "0", "Use": "0", "Iface": "eth3",
            }
        ]
    ]  # fmt: skip
    assert report.warnings == ["line not understood: broken"]


@needs_shared
def test_the_tables_of_a_950_are_read_and_rows_that_go_on_are_filled():
    report = hccn.read_hccn((OTHER / "hccn_tool-dev_info--950-doc.txt").read_bytes())
    ports, links, ids = report.tables
    assert report.device == 0 and [port["Port ID"] for port in ports] == ["4", "5", "6"]
    assert ports[0]["Speed Ability(Gbps)"] == "400" and ports[0]["Link Status"] == "UP"
    assert [link["IP Address"] for link in links][:2] == ["192.168.2.199", "::10:0:dfdf:51"]
    assert {link["Interface Name"] for link in links[1:]} == {"ipourma0"}
    assert [row["EID Index"] for row in ids] == ["0", "1", "2", "3"] and {row["Name"] for row in ids} == {"udma1"}


@needs_shared
@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("hccn_tool-link-DOWN--950-doc.txt", {"link": "DOWN", "device": 0}),
        ("hccn_tool-link-UP--910.txt", {"link": "UP", "device": 0}),
        ("hccn_tool-ip--910A.txt", {"address": "192.161.200.10", "netmask": "255.255.255.0"}),
        ("hccn_tool-net_health-socketfailed--910A.txt", {"health": "Socket failed"}),
        ("hccn_tool-status--910B.txt", {"speed_mbps": 200000}),
        ("hccn_tool-ping--910B.txt", {"device": 3, "lost_percent": 0.0}),
        ("hccn_tool-tls--910.txt", {"device": 0, "fields": {"tls switch": 0}}),
        ("hccn_tool-fec--910A.txt", {"fields": {"fec mode": "no FEC mode"}}),
        (
            "hccn_tool-stat--910A.txt",
            {"fields": {"packet statistics": None, "roce_rx_err_pkt_num": 0, "roce_tx_err_pkt_num": 0}},
        ),
    ],
)
def test_a_shared_sample_of_hccn_tool_says_what_it_says(file, values):
    report = hccn.read_hccn((OTHER / file).read_bytes())
    assert {name: getattr(report, name) for name in values} == values
    assert (report.error, report.warnings) == (None, [])


@needs_shared
def test_the_shared_routes_are_read_row_by_row():
    (routes,) = hccn.read_hccn((OTHER / "hccn_tool-route--910B.txt").read_bytes()).tables
    assert [(route["Destination"], route["Iface"]) for route in routes][:2] == [
        ("10.20.11.0", "eth3"),
        ("127.0.0.1", "lo"),
    ]


@needs_shared
def test_the_shared_refusal_of_a_310_is_an_error_after_noise():
    report = hccn.read_hccn((OTHER / "hccn_tool-ERROR-cmd-failed-310.txt").read_bytes())
    assert report.error is not None
    assert (report.error.code, report.error.text, len(report.warnings)) == ("failed", "Command execute failed!", 1)


@needs_shared
def test_help_of_hccn_tool_tells_no_state():
    report = hccn.read_hccn((OTHER / "hccn_tool-help--950-doc.txt").read_bytes())
    assert (report.command, report.link, report.device, report.error) == ("hccn_tool -h", None, None, None)
    assert list(report.fields) == ["text"] and report.warnings == []


@needs_shared
def test_optics_keep_every_figure_with_its_unit():
    fields = hccn.read_hccn((OTHER / "hccn_tool-optical--910A.txt").read_bytes()).fields
    assert fields["Vcc"] == (3262.9, "mV") and fields["Rx Power1"] == (0.0054, "mW")
    assert fields["vendor serial number"] == "V8BD6H25033" and fields["Rx Los Flag"] == "0xff"


@needs_shared
def test_link_changes_of_both_generations_of_the_tool_read_alike():
    old = hccn.read_hccn((OTHER / "hccn_tool-link_stat--910A.txt").read_bytes())
    new = hccn.read_hccn((OTHER / "hccn_tool-link_stat--950-doc.txt").read_bytes())
    assert [state for _, state in old.changes] == ["UP", "DOWN", "UP"]
    assert [state for _, state in new.changes] == ["UP", "DOWN", "UP", "DOWN"]
    assert (old.fields["link up count"], new.fields["link down count"]) == (2, 2)
