"""Why a parallel plan or a split is refused. What `jobs.conversion` refuses about a file is refused here as it is.

ShardingRefused         code                      when
                        site-invalid              the description of the machines cannot be read, or has no chips
                        size-invalid              no number of parameters, such as 13B
                        config-invalid            a figure in config.json makes no sense or is missing
                        request-invalid           batch, length, type or link speed out of range
                        no-room                   no split fits the chips: what is short, and what would fit
                        measurement-invalid       no table of all_reduce_test (hccl_test) in the file, or a failed row
                        device-ip-missing         an NPU without an address in /etc/hccn.conf
                        device-ip-invalid         an address that is none, or that two NPUs have
                        super-pod-missing         rank table 1.2 without super device ids
                        output-exists             the output's place is taken; nothing is overwritten
                        disk-full                 the disk has not the room that the output needs
                        not-divisible             a tensor that a rank's share would cut in the middle of a head
                        layers-unknown            pipeline stages of a model whose tensors name no layers
                        shard-damaged             shards that do not join to the original's bytes
                        not-writable              the output cannot be written (folder, rights)
"""

from __future__ import annotations

from jobs.conversion.errors import ConversionRefused


class ShardingRefused(ConversionRefused):
    """An expected failure, told as a conversion tells its own."""
