"""The command lines of a quantization on a machine, POSIX sh. What is put in is quoted, or a path of ours.

Sources: msModelSlim's quick start (``msmodelslim quant``), vLLM-Ascend's quantization guide (the script for Qwen3-MoE).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from jobs.software.cann import LOAD

SCRIPT = "example/Qwen3-MOE/quant_qwen_moe_w8a8.py"
NO_FILE = 73


@dataclass(frozen=True)
class Places:
    """``weights`` with their config.json, ``part`` while the result is written, ``result`` once it is whole, and
    ``work`` for what is removed in the end.
    """

    weights: str
    part: str
    result: str
    work: str


def look(params: dict[str, Any], places: Places, *, sent: bool) -> str:
    """Says in one line what is missing, before anything is sent or written."""
    asked = [
        (f"[ ! -e {places.result} ]", f"{places.result} is there already; nothing is overwritten."),
        (f"[ -d {params['folder']} ]", f"there is no folder {params['folder']}."),
    ]
    if not sent:
        asked.append((f"[ -f {places.weights}/config.json ]", f"{places.weights} has no config.json."))
    if params["recipe"] == "quant":
        asked.append(("command -v msmodelslim >/dev/null", "msmodelslim is not on PATH."))
    else:
        script = f"{params['source_folder']}/{SCRIPT}"
        asked.append((f"[ -f {script} ]", f"there is no {script}."))
    return "PATH=$PATH:/usr/local/bin; " + "; ".join(
        f"{test} || {{ echo {shlex.quote(said)}; exit 1; }}" for test, said in asked
    )


def unpack(places: Places) -> str:
    """The checkpoint's archive, whether its files lie in a folder or not."""
    return (
        f"cd {places.work} && rm -rf unpacked weights && mkdir unpacked && tar -xf checkpoint.tar -C unpacked && "
        'config=$(find unpacked -maxdepth 2 -name config.json | head -n 1) && [ -n "$config" ] && '
        'mv "$(dirname "$config")" weights'
    )


def quantize(params: dict[str, Any], places: Places) -> str:
    """Weights and activations in 8 bit. It may ask a question where it has no settings for a model: nobody answers."""
    trust = "True" if params["trust_remote_code"] else "False"
    if params["recipe"] == "quant":
        tool = (
            f"msmodelslim quant --model_path {places.weights} --save_path {places.part} "
            f"--device npu:{params['devices']} --model_type {shlex.quote(params['model_type'])} --quant_type w8a8 "
            f"--trust_remote_code {trust}"
        )
        # Not in the folder of its source, whose modules would be found before those that are installed.
        where = places.work
    else:
        tool = (
            f"ASCEND_RT_VISIBLE_DEVICES={params['devices']} PYTORCH_NPU_ALLOC_CONF=expandable_segments:False "
            f"python3 {SCRIPT.rpartition('/')[2]} --model_path {places.weights} --save_path {places.part} "
            "--anti_dataset ../common/qwen3-moe_anti_prompt_50.json "
            "--calib_dataset ../common/qwen3-moe_calib_prompt_50.json "
            f"--trust_remote_code {trust}"
        )
        where = f"{params['source_folder']}/{SCRIPT.rpartition('/')[0]}"
    return (
        f"PATH=$PATH:/usr/local/bin; {LOAD} && mkdir -p {places.work} && rm -rf {places.part} && cd {where} && "
        f"{tool} </dev/null && {{ ls {places.part}/quant_model_description*.json {places.part}/*.safetensors "
        f">/dev/null || exit {NO_FILE}; }}"
    )


def finish(places: Places) -> str:
    """Hashes of every file, the size, and the folder under its own name."""
    return (
        f"mkdir -p {places.work} && if [ -d {places.part} ]; then cd {places.part} && "
        f"find . -type f -exec sha256sum {{}} + | LC_ALL=C sort -k 2 >{places.work}/manifest.sha256 && cd / && "
        f"mv {places.part} {places.result}; fi && test -s {places.work}/manifest.sha256 && du -sb {places.result}"
    )


def pack(places: Places) -> str:
    return f"tar -C {places.result} -cf {places.work}/result.tar ."
