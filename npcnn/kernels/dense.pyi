from typing import Any

from numpy.typing import NDArray

def product(
    a: NDArray[Any], transposed: bool, b: NDArray[Any], bias: NDArray[Any] | None, c: NDArray[Any]
) -> None: ...
