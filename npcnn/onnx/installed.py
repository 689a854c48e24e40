"""The package onnx, which is an extra: imported when it is used, with a word about what to install."""

from __future__ import annotations

from typing import Any

from npcnn.errors import to_install


def imported_onnx() -> Any:
    """Return the package onnx; ImportError, with what to install, if it is not there."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise ImportError(f"npcnn.onnx needs the package onnx ({error}): {to_install('onnx')}") from error
    return onnx
