"""Why a conversion is refused.

ConversionRefused       code                      when
                        file-missing              the path does not exist or is no file
                        file-empty                zero bytes
                        lfs-pointer               the text stub that Git LFS leaves instead of the file
                        not-safetensors           the header is no safetensors header
                        safetensors-truncated     the header promises more bytes than the file has
                        tensor-missing            the model lacks a weight that its architecture needs
                        tensor-shape              a weight's shape contradicts config.json
                        tensor-type               a weight's type is not F32, F16 or BF16
                        tensor-unexpected         weights that config.json has no place for
                        weight-overflow           a weight is beyond what float16 holds
                        index-invalid             model.safetensors.index.json cannot be used
                        not-checkpoint            neither a model folder nor a tar of one
                        checkpoint-unsafe         links, devices, names that leave the folder, packed entries
                        checkpoint-truncated      the tar or zip is cut off
                        checkpoint-too-large      the tar holds more than may be unpacked
                        pickle-refused            a PyTorch checkpoint asks for more than tensors are made of
                        pickle-legacy             a pickle without the zip that torch writes since 1.6
                        pickle-damaged            a PyTorch checkpoint that contradicts itself
                        pickle-limits             reading it takes more memory or time than a checkpoint does
                        pickle-ambiguous          several PyTorch checkpoints in one folder
                        torchscript               a program (TorchScript, torch.export) in the place of weights
                        torch-missing             a program of torch, and torch or onnxscript is not installed
                        sandbox-missing           a program of torch, and nothing that would hold it
                        program-inputs            the inputs of a program are not told, or are no tensors
                        program-opset             an opset that torch.onnx does not write
                        program-too-large         a program whose ONNX would be two files
                        program-limits            a program that takes more memory or time than it has
                        program-failed            torch cannot load, run or export a program
                        program-changed           ONNX Runtime does not answer as torch does
                        input-type                --input-type cannot be read
                        no-weights                a PyTorch checkpoint without named tensors
                        tokenizer-invalid         no tokenizer.json, or one that cannot be loaded
                        profile-needs-head        a profile was asked for and there are no labels
                        max-length                more tokens than the model reads
                        config-missing            no config.json beside the weights
                        config-invalid            config.json is no JSON, or a figure in it makes no sense
                        architecture-unsupported  another model class, or a variant of it that is not built
                        rope-unsupported          rotary positions of a type that is not built
                        head-invalid              the classifier head does not fit or is no npz of the agreed form
                        not-onnx                  the file is no ONNX model
                        onnx-truncated            an ONNX model that is cut off or damaged
                        external-missing          the file of weights beside the model is not there
                        external-truncated        the file of weights beside the model is cut off
                        external-unsafe           the model's weights lie outside its folder
                        graph-broken              nodes that read what nothing makes, twice made values, rings
                        input-name                an input that atc's --input_shape cannot name
                        opset-unsupported         CANN of that version does not read the model's opset
                        operator-unsupported      an operator that atc is known to have no parser for
                        domains-unsupported       opsets of several domains, of which atc takes one
                        cann-version              no version of CANN
                        input-shape               --input_shape cannot be read
                        input-unknown             --input_shape names an input that the model does not have
                        input-missing             --input_shape leaves out an input with open sizes
                        input-rank                --input_shape gives an input more or fewer dimensions than it has
                        input-size                --input_shape contradicts a size that the model fixes
                        input-dynamic             an open size (-1) without a --dynamic flag
                        profiles-exclusive        more than one of the --dynamic options
                        profiles-form             a --dynamic option that cannot be read
                        profiles-count            too few, too many or repeated profiles
                        profiles-axes             the -1 of --input_shape are not those that the option sets
                        profiles-fixed            a profile varies a size that the model fixes
                        soc-coarse                a chip's family where atc needs the chip
                        soc-unknown               no Ascend chip that is known here
                        soc-mismatch              another soc_version than that of the machine's chip
                        opset-unknown             an opset that nothing is brought to
                        opset-no-way              an operator that cannot be brought to the asked opset
                        input-contradiction       sizes of one name that are to be fixed differently
                        shapes-contradict         shapes inside the model that do not go together
                        fold-failed               the constant part of a model that cannot be computed
                        mend-changed              a mended model that would not compute the same
                        onnx-invalid              onnx.checker refuses it
                        option-unfit              an option that this kind of model has no use for
                        output-is-input           the output would overwrite what is read
                        not-writable              the output cannot be written (folder, space, rights)
"""

from __future__ import annotations

from typing import ClassVar


class ConversionRefused(Exception):
    """An expected failure: `code` for programs, `message` (what and where) and `mend` (what to do) for a person.

    A command that is refused ends with `exit_status`.
    """

    exit_status: ClassVar[int] = 2

    def __init__(self, code: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()
