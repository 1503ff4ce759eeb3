"""What happened, as records tell it in English with its values, is told on pages in the reader's language."""

from __future__ import annotations

import ast
import gc

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from hardware.bmc.redfish.errors import CertificateChanged
from hardware.inventory import causes as of_machines
from hardware.inventory.models import Machine
from hardware.ssh import errors
from hardware.telemetry.alerts import builtin
from hardware.telemetry.alerts.models import Alert, Rule
from jobs.pages import causes
from tests.jobs.examples import facts
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.jobs.pages.test_wording import ROOT, sentence

# What an alert, its remedy and the machine that it is of can show as a cause.
MACHINES = ("hardware/ssh", "hardware/bmc/redfish", "hardware/telemetry")
REMEDIES = ("jobs/remedies", "jobs/fans.py", "jobs/kinds/tune_serving", "jobs/kinds/set_fan")


def said(places: tuple[str, ...], argument: int) -> list[tuple[str, str]]:
    """(class, sentence) of each failure that is made there, with a 7 where a value comes."""
    found = []
    gc.collect()
    for place in places:
        path = ROOT / place
        for file in [path] if path.suffix else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > argument:
                    found.append((node.func.id, sentence(node.args[argument])))
    return [(name, text) for name, text in found if text]


def test_every_trouble_of_a_machine_and_its_board_is_told_in_the_readers_language():
    names = {name for name, made in vars(errors).items() if isinstance(made, type) and issubclass(made, Exception)}
    names |= {"BmcUnreachable", "BmcRefused", "BmcLoginRefused", "CertificateNotPinned"}
    told = {f"n7: {text}" for name, text in said(MACHINES, 1) if name in names}
    assert len(told) > 40
    with override("zh-hans"):
        assert [text for text in sorted(told) if of_machines.cause(text) == text] == []


def test_every_reason_why_a_remedy_is_refused_or_failed_is_told_in_the_readers_language():
    told = {text for name, text in said(REMEDIES, 1) if name in ("PlanRefused", "JobFailed")}
    assert len(told) > 10
    with override("zh-hans"):
        assert [text for text in sorted(told) if causes.cause(text) == text] == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            str(
                errors.JumpHostFailed(
                    "n1", f"its jump host gives no way on: {errors.LinkLost('b', 'the SSH link was cut.')}"
                )
            ),
            "n1：跳板机无法转接：b：SSH 连接已中断。",
        ),
        (
            str(errors.HostKeyChanged("n1", "SHA256:a", "SHA256:b")),
            "n1：主机密钥由 SHA256:a 变为 SHA256:b；未发送任何内容。",
        ),
        (str(CertificateChanged("n1", "AB:CD")), "n1：其 BMC 提供了另一份证书（AB:CD）。"),
        ("n1: somebody holds its fans at 40 % by hand.", "n1：有人已手动将其风扇固定在 40 %。"),
        ("Install driver ended with exit code 1: no space left", "安装驱动 以退出码 1 结束：no space left"),
        (
            "n1: NPU 0, 1 is held by container web: stop it, or choose other NPUs.",
            "n1: NPU 0, 1 被容器 web 占用：请停止它，或另选 NPU。",
        ),
        ("n1: nobody wrote a sentence for this.", "n1: nobody wrote a sentence for this."),
        ("", ""),
    ],
)
def test_the_values_stay_and_what_is_a_sentence_within_a_sentence_is_told_too(text, wanted):
    with override("zh-hans"):
        assert causes.cause(text) == wanted
    with override("en"):
        assert causes.cause(text) == text


def test_a_chinese_reader_sees_no_english_cause_on_the_overview_the_machine_and_the_alert(machine: Machine):
    with_facts(machine, facts())
    builtin.ensure()
    conflict = {
        "part": "cann",
        "has": "8.0.0",
        "others": "8.2.RC1",
        "versions": ["8.0.0"],
        "among": "site:",
        "count": 2,
        "of": 3,
    }
    alert = Alert.objects.create(
        rule=Rule.objects.get(slug="versions-differ"),
        machine=machine,
        since=timezone.now(),
        values={"conflicts": [conflict]},
    )
    quiet = errors.Unreachable("n2", "nothing that speaks SSH answers at 192.0.2.9 port 22 (no answer in time).")
    Machine.objects.create(
        name="n2", host="192.0.2.9", credential=machine.credential, state="silent",
        trouble={"code": quiet.code, "cause": str(quiet), "mend": quiet.mend},
    )  # fmt: skip
    client = Client(headers={"accept-language": "zh-hans"})
    client.force_login(User.objects.create_user("ada"))
    for path, words in (
        ("/", "n2：192.0.2.9 端口 22 没有 SSH 服务应答（未及时应答）。"),
        ("/machines/n2/", "n2：192.0.2.9 端口 22 没有 SSH 服务应答（未及时应答）。"),
        (f"/alerts/{alert.pk}/", f"{machine.name}：驱动和固件一致；不同的是 CANN。"),
    ):
        page = client.get(path).content.decode()
        assert words in page, path
        assert "nothing that speaks SSH" not in page and "it is CANN that differs" not in page
