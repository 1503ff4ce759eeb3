"""What happened, as records tell it in English with its values, is told on pages in the reader's language."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from hardware.bmc.redfish.errors import CertificateChanged
from hardware.inventory.models import Machine
from hardware.ssh import errors
from hardware.telemetry.alerts import builtin
from hardware.telemetry.alerts.models import Alert, Rule
from jobs.pages import causes, waits
from tests.jobs.examples import facts
from tests.jobs.kinds.test_install_kinds import with_facts


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
            "7 machines failed. The first: Install driver ended with exit code 1: no space left",
            "7 台机器失败。第一台：安装驱动 以退出码 1 结束：no space left",
        ),
        (
            "n1: NPU 0, 1 is held by container web: stop it, or choose other NPUs.",
            "n1: NPU 0, 1 被容器 web 占用：请停止它，或另选 NPU。",
        ),
        (
            "The depot has no artifact 7. Choose one that is in the depot.",
            "制品库中没有制品 7。 请选择制品库中已有的。",
        ),
        (
            # The last line of a command: both sentences, one with a sentence of its own in it.
            "config.json in m: head_dim: 3 units cannot be turned in pairs. "
            "Take the config.json that belongs to the weights.",
            "m 中的 config.json：head_dim：3 个单元无法成对旋转。 请使用与权重配套的 config.json。",
        ),
        (
            "n1: Driver 24.1.0 does not go with CANN 8.2.RC1 (its notes). Known to go with it: 25.0.0.",
            "n1: 驱动 24.1.0 与CANN 8.2.RC1 不配套（its notes）。 已知与之配套的版本：25.0.0。",
        ),
        (
            "m.onnx is no ONNX model: it is a gzip archive. Give the .onnx file that the model was exported to.",
            "m.onnx 不是 ONNX 模型，而是 gzip 归档。 请给出模型导出的 .onnx 文件。",
        ),
        ("Install driver: [ERROR]ERR_NO:0x0094", "安装驱动: [ERROR]ERR_NO:0x0094"),
        ("batch_size: n1 has not been probed yet.", "batch_size: n1 尚未探测。"),
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


def test_why_a_job_came_to_its_state_is_told_as_its_failure_is():
    told = "net.onnx is empty (0 bytes). Copy or export the file again."
    with override("zh-hans"):
        assert waits.cause({"cause": told}) == causes.cause(told) != told
