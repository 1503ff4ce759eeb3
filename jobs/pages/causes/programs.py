"""Of a program of torch that is turned to ONNX (``jobs.conversion.programs``)."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

TEMPLATES = (
    _("%(file)s is an archive of %(kind)s, a program and no table of weights."),
    _("It becomes ONNX as a whole: python -m jobs.conversion FILE OUT.onnx, where torch is installed."),
    _(
        "%(file)s is %(kind)s, a program that torch turns to ONNX, and %(packages)s cannot be imported "
        "by %(python)s (Python %(version)s)."
    ),
    _(
        "Install it there: %(command)s (torch for processors only is enough), or export it where torch "
        "is: torch.onnx.export(model, example, 'model.onnx', dynamo=False, opset_version=13)."
    ),
    _("torch turns %(kind)s to opset %(least)s to %(most)s, and %(asked)s is asked."),
    _("Choose one of these and bring the result to another: python -m jobs.conversion.mend --opset N."),
    _("--input-shape is not for a program of torch.export, which has its own inputs."),
    _("%(file)s has %(size)s bytes; %(limit)s are the most that become one ONNX file."),
    _("Export it where it was made, with external data, or save its weights as safetensors."),
    _("The process that ran %(file)s was ended (%(how)s): it took more memory or time than it has."),
    _("Export it with torch.onnx.export where it was made, which shows torch's whole reason."),
    _("The ONNX of %(file)s has weights elsewhere."),
    _("%(file)s is a program, and this system cannot keep it from doing harm: %(said)s."),
    _("Export it with torch.onnx.export on the machine where it was made."),
    _("%(file)s takes more than %(limit)s bytes of memory."),
    _("torch cannot turn %(file)s to ONNX: %(said)s."),
    _("%(file)s is TorchScript, which tells no shapes: forward(%(arguments)s). None were told."),
    _("%(file)s is TorchScript, which tells no shapes: forward(%(arguments)s). Told were those of %(names)s."),
    _(
        'Give the shape of each: --input-shape "%(example)s" (-1 for an open size), and --input-type '
        '"NAME:int64" where it is not float32. Only tensors can be inputs; what has a default may be '
        "left out."
    ),
    _("%(file)s was saved without its example inputs."),
    _("Save it again with torch.export.save."),
    _("%(file)s was exported with %(tensors)s tensors and its ONNX has %(inputs)s inputs."),
    _("Export it with tensors as its only inputs."),
    _("%(needed)s bytes are to be written and there is room for %(room)s."),
    _("--input-type cannot be read at %(part)s; --input-shape names %(names)s."),
    _('Write it as "%(name)s:int64", with one of %(types)s.'),
    _("--input-type is given without --input-shape."),
    _("Give both."),
    _("Types are given and no shapes."),
    _("Give the input shape as well."),
    _("The ONNX of %(file)s does not answer as torch does: %(why)s."),
    _("it has %(n)s outputs and torch has %(expected)s"),
    _("torch's answers cannot be read: %(said)s"),
    _("ONNX Runtime does not run it: %(said)s"),
    _("Give fixed sizes where -1 was given, or export it where it was made."),
)
