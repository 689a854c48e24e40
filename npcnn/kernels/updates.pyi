from typing import Any

from numpy.typing import NDArray

def adam_step(
    p: NDArray[Any],
    grad: NDArray[Any],
    m: NDArray[Any],
    v: NDArray[Any],
    step_size: float,
    new1: float,
    new2: float,
    eps: float,
    decay: float,
) -> None: ...
