from typing import Any

from numpy.typing import NDArray

def conv1d(
    x: NDArray[Any],
    u: NDArray[Any],
    b: NDArray[Any] | None,
    along_height: bool,
    pad: int,
    relu: bool,
    y: NDArray[Any],
) -> None: ...
def conv1d_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    u_flipped: NDArray[Any],
    relu_output: NDArray[Any] | None,
    along_height: bool,
    pad: int,
    dx: NDArray[Any] | None,
    du: NDArray[Any],
    db: NDArray[Any],
) -> None: ...
