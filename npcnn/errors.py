"""The exceptions of npcnn.

Every check in the library raises one of these or a plain ``ValueError`` /
``TypeError``.  They derive from the built-in exception a NumPy user would
expect, so ``except ValueError`` still catches a wrong shape.  The message
always names the argument, what came, what was expected and what to do.
"""


class ShapeError(ValueError):
    """An array has the wrong rank or the wrong size along an axis."""


class DTypeError(TypeError):
    """An array has a dtype that npcnn does not compute with."""


class DataError(ValueError):
    """A file of data or of metrics is missing, damaged, or not what it claims to be."""


class WeightsError(ValueError):
    """A weights file does not fit the network it is loaded into."""


class CheckpointError(WeightsError):
    """A checkpoint is damaged, or of another training, or its folder is in use."""


class OnnxError(ValueError):
    """A network has what ONNX does not, or an ONNX file what npcnn does not have, or is damaged."""


def to_install(extra: str) -> str:
    """Return the command that installs what a part of the library needs besides NumPy, for messages.

    Examples
    --------
    >>> from npcnn.errors import to_install
    >>> to_install("plot")
    'python -m pip install ".[plot]" in the clone of npcnn'
    """
    return f'python -m pip install ".[{extra}]" in the clone of npcnn'
