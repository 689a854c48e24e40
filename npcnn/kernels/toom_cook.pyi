from typing import Any

from numpy.typing import NDArray

def conv2d(
    x: NDArray[Any],
    u: NDArray[Any],
    b: NDArray[Any] | None,
    taps: dict[str, int],
    relu: bool,
    pooling: dict[str, int],
    pooled: bool,
    y: NDArray[Any],
    argmax: NDArray[Any] | None,
    skipped: NDArray[Any],
) -> None: ...
def weights_at_points(w: NDArray[Any], u: NDArray[Any]) -> bool: ...
