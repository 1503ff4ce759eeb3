"""Why no image is built.

ImageRefused    code                   when
                base-missing           there is no such file, or it is empty
                base-invalid           it is no OCI archive and none of `docker save`, or a part of it is missing
                base-compressed        the whole archive is compressed
                base-damaged           a part does not have the digest or the size that the archive gives it
                base-architecture      it is for another architecture than was asked for
                name-invalid           image name or tag is none that docker takes
                profile-invalid        the profile is missing or broken
                model-invalid          the model is neither ONNX nor OM
                code-missing           the serving code is not where it should be
                input-changed          the model changed while it was packaged
                not-writable           the output cannot be written (folder, space, rights)
"""

from __future__ import annotations


class ImageRefused(Exception):
    """An expected failure: `code` for programs, `cause` (what and where) and `mend` (what to do) for a person."""

    def __init__(self, code: str, cause: str, mend: str) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.cause} {self.mend}"
