from typing import Any

from numpy.typing import NDArray

PARTS: int

def centred_sums(
    x: NDArray[Any], centre: NDArray[Any], squared: bool, parts: NDArray[Any]
) -> None: ...
def centred_products(
    dy: NDArray[Any], x: NDArray[Any], centre: NDArray[Any], parts: NDArray[Any]
) -> None: ...
def scale_rows(
    x: NDArray[Any],
    centre: NDArray[Any],
    factor: NDArray[Any],
    shift: NDArray[Any],
    y: NDArray[Any],
) -> None: ...
def scale_rows_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    centre: NDArray[Any],
    factor: NDArray[Any],
    a: NDArray[Any],
    b: NDArray[Any],
    dx: NDArray[Any],
) -> None: ...
