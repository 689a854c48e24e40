from typing import Any

from numpy.typing import NDArray

PARTS: int

def batch_statistics(x: NDArray[Any], centre: NDArray[Any], parts: NDArray[Any]) -> None: ...
def batch_norm(x: NDArray[Any], table: NDArray[Any], relu: bool, y: NDArray[Any]) -> None: ...
def batch_norm_sums(
    dy: NDArray[Any], x: NDArray[Any], table: NDArray[Any], relu: bool, parts: NDArray[Any]
) -> None: ...
def batch_norm_backward(
    dy: NDArray[Any], x: NDArray[Any], table: NDArray[Any], relu: bool, dx: NDArray[Any]
) -> None: ...
