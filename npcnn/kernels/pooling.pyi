from typing import Any

from numpy.typing import NDArray

def max_pool2d(
    x: NDArray[Any], windows: dict[str, int], y: NDArray[Any], argmax: NDArray[Any] | None
) -> None: ...
def max_pool2d_backward(
    dy: NDArray[Any], argmax: NDArray[Any], windows: dict[str, int], dx: NDArray[Any]
) -> int: ...
def avg_pool2d(
    x: NDArray[Any], windows: dict[str, int], count_include_pad: bool, y: NDArray[Any]
) -> None: ...
def avg_pool2d_backward(
    dy: NDArray[Any], windows: dict[str, int], count_include_pad: bool, dx: NDArray[Any]
) -> None: ...
