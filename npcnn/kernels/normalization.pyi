from typing import Any

from numpy.typing import NDArray

PARTS: int
ACTIVATIONS: dict[str | None, int]

def batch_statistics(x: NDArray[Any], centre: NDArray[Any], parts: NDArray[Any]) -> None: ...
def batch_norm(x: NDArray[Any], table: NDArray[Any], activation: int, y: NDArray[Any]) -> None: ...
def batch_norm_sums(
    dy: NDArray[Any],
    x: NDArray[Any],
    table: NDArray[Any],
    activation: int,
    parts: NDArray[Any],
    before: NDArray[Any],
) -> None: ...
def batch_norm_backward(
    dy: NDArray[Any], x: NDArray[Any], table: NDArray[Any], relu: bool, dx: NDArray[Any]
) -> None: ...
