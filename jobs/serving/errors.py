"""What the server refuses.

::

    ServingRefused            code               HTTP  when
    ├── ModelRefused                             exit  the release cannot be served; the process ends with one line
    │                         folder-missing           there is no such model folder
    │                         profile-missing          no profile.json in it
    │                         profile-invalid          profile.json is no JSON, or a field in it makes no sense
    │                         tokenizer-invalid        its tokenizer is none that the tokenizers library reads
    │                         model-missing            neither model.onnx nor model.om
    │                         model-invalid            the file is no such model, or damaged
    │                         model-mismatch           inputs or outputs do not fit the profile
    │                         engine-missing           the library that runs this form of model is not installed
    │                         device-refused           the NPU or its runtime refuses the model
    │                         parameter-invalid        a serving parameter is none that can be
    └── RequestRefused                                 one request cannot be answered
                              body-too-large     413
                              body-invalid       422   no JSON object with a list of texts
                              texts-missing      422
                              too-many-texts     422
                              text-empty         422
                              text-too-long      422
                              loading            503   with Retry-After
                              queue-full         503   with Retry-After
                              stopping           503   with Retry-After
                              out-of-memory      503   with Retry-After; there was no memory for the batch
                              inference-failed   500   the engine failed on a good request
                              not-found          404
                              method-not-allowed 405

`str()` is the message and the mend in one line; neither holds what a client sent.
"""

from __future__ import annotations


class ServingRefused(Exception):
    """`code` for programs, `message` (what and where) and `mend` (what to do) for a person."""

    def __init__(self, code: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} {self.mend}"


class ModelRefused(ServingRefused):
    """The release cannot be served as it is."""


class RequestRefused(ServingRefused):
    """One request is not answered; `status` is HTTP's, `retry_after` seconds or None."""

    def __init__(self, code: str, status: int, message: str, mend: str, retry_after: int | None = None) -> None:
        super().__init__(code, message, mend)
        self.status = status
        self.retry_after = retry_after
