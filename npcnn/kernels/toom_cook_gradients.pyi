from typing import Any

from numpy.typing import NDArray

def conv2d_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    u_flipped: NDArray[Any] | None,
    relu_output: NDArray[Any] | None,
    taps: dict[str, int],
    pooling: dict[str, int],
    argmax: NDArray[Any] | None,
    dx: NDArray[Any] | None,
    dw: NDArray[Any],
    db: NDArray[Any],
    skipped: NDArray[Any],
) -> int: ...
