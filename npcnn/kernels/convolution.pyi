from typing import Any

from numpy.typing import NDArray

def conv2d(
    x: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any] | None,
    windows: dict[str, int],
    relu: bool,
    y: NDArray[Any],
) -> None: ...
def conv2d_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    w_transposed: NDArray[Any],
    relu_output: NDArray[Any] | None,
    windows: dict[str, int],
    dx: NDArray[Any] | None,
    dw: NDArray[Any],
    db: NDArray[Any],
) -> None: ...
def conv2d_input_gradient(
    dy: NDArray[Any], w_transposed: NDArray[Any], windows: dict[str, int], dx: NDArray[Any]
) -> None: ...
