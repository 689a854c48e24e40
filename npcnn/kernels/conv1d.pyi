from typing import Any

from numpy.typing import NDArray

def conv1d(
    x: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any] | None,
    along_height: bool,
    stride: int,
    dilation: int,
    pad: int,
    relu: bool,
    y: NDArray[Any],
) -> None: ...
def conv1d_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    w_transposed: NDArray[Any],
    relu_output: NDArray[Any] | None,
    along_height: bool,
    stride: int,
    dilation: int,
    pad: int,
    dx: NDArray[Any] | None,
    dw: NDArray[Any],
    db: NDArray[Any],
) -> None: ...
