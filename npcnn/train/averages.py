"""Averages of a network's weights over the steps, which often classify better than the weights of any single step.

`ExponentialMovingAverage` only watches a training; `Lookahead` takes part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npcnn import weights
from npcnn.functional.checks import integer, number
from npcnn.layers import Layer
from npcnn.schedules import Schedule
from npcnn.train.loop import StepResult

Array = NDArray[Any]


class Average:
    """Base of the averages: arrays beside those of a network, and how they come into it and go out again.

    One that averages defines ``__call__``, which `fit` calls after every step.

    Parameters
    ----------
    net : Layer
        The network to follow.

    Attributes
    ----------
    mean : dict of ndarray
        The averages by the names of `Layer.arrays`; before the first step, the weights `net` had at the beginning.
    updates : int
        Updates done.
    step : int or None
        Number of the last step that `fit` told of.

    Raises
    ------
    TypeError
        If `net` is no network.
    """

    def __init__(self, net: Layer) -> None:
        if not hasattr(net, "params"):
            raise TypeError(f"net must be a network, with params, got {type(net).__name__}")
        self.net = net
        self.mean = {name: array.copy() for name, array in arrays_of(net).items()}
        self.updates = 0
        self.step: int | None = None
        self._kept: dict[str, Array] | None = None  # the weights, while the averages are in their place

    def __call__(self, result: StepResult) -> None:
        """Take in the weights after a step, if it is one of those that count."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def _take_in(self, decay: float) -> None:
        """Let mean += (1 - decay) * (weights - mean)."""
        self.check_not_applied("taken in")
        latest = {name: array.copy() for name, array in self.mean.items()}
        weights.assign(latest, arrays_of(self.net), "the network has other parameters than when its average was made")
        for name, mean in self.mean.items():
            if decay:
                mean += (1 - decay) * (latest[name] - mean)
            else:
                mean[...] = latest[name]
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the network for a ``with`` block; after it the weights are back, to the bit.

        Raises
        ------
        WeightsError
            If the network has other parameters than when the average was made.
        RuntimeError
            If they are applied already.
        """
        self.check_not_applied("applied again")
        arrays = arrays_of(self.net)
        kept = {name: array.copy() for name, array in arrays.items()}
        weights.assign(arrays, self.mean, "the network has other parameters than when its average was made")
        self._kept = kept
        try:
            yield
        finally:
            for name, array in arrays.items():
                array[...] = kept[name]
            self._kept = None

    def check_not_applied(self, what: str) -> None:
        """Raise RuntimeError, saying that the weights cannot be `what`, while the averages are in their place."""
        if self._kept is not None:
            raise RuntimeError(
                f"the weights cannot be {what} while their averages are applied; leave the with block first"
            )

    def state(self) -> dict[str, Array]:
        """Return copies of what the next update depends on besides the weights.

        Examples
        --------
        >>> list(nn.train.ExponentialMovingAverage(nn.Dense(1, 1)).state())
        ['updates', 'mean.w', 'mean.b']
        """
        return {"updates": np.array([self.updates], np.uint64)} | {
            f"mean.{name}": array.copy() for name, array in self.mean.items()
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Continue from what `state` returned: the next average is the one that would have followed.

        What was given to the constructor is not part of the state; give it to the constructor again.

        Raises
        ------
        WeightsError
            If names, shapes or dtypes are not those of this average; nothing is changed then.
        """
        updates = np.zeros(1, np.uint64)
        means = {f"mean.{name}": array for name, array in self.mean.items()}
        weights.assign({"updates": updates} | means, state, "the state does not fit this average")
        self.updates = int(updates[0])


class ExponentialMovingAverage(Average):
    """Callback that follows a network with a moving average of its parameters and its state.

    mean += (1 - decay) * (weights - mean) after every step.

    The first step's weights are the first average.  The network trains on as if nobody watched; `applied` puts the
    averages into it for an evaluation and takes them out again.  `npcnn.train.Checkpoints`, `Evaluation` and `Run`
    take it as their `average`.

    Parameters
    ----------
    net : Layer
        The network to follow.
    decay : float
        How slowly the average forgets, from 0 to below 1: it spans about 1 / (1 - decay) steps.

    Attributes
    ----------
    mean, updates, step
        See `npcnn.train.averages.Average`.

    Raises
    ------
    TypeError, ValueError
        If `decay` is not such a number, or `net` no network.

    References
    ----------
    Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.

    Examples
    --------
    >>> net = nn.Dense(1, 1, weight_init=nn.initializers.constant(1.0))
    >>> average = nn.train.ExponentialMovingAverage(net, decay=0.75)
    >>> average.update()
    >>> net.params["w"][...] = 5.0
    >>> average.update()                                 # 1 + 0.25 * (5 - 1)
    >>> with average.applied():
    ...     net.params["w"].item()
    2.0
    >>> net.params["w"].item()
    5.0

    In a training it comes before the callbacks that use it:

    >>> evaluation = nn.train.Evaluation(net, lambda: [], every=100, average=average)
    >>> callbacks = [average, evaluation]
    """

    def __init__(self, net: Layer, decay: float = 0.999) -> None:
        super().__init__(net)
        self.decay = number(decay, "decay", minimum=0, below=1)

    def __repr__(self) -> str:
        return f"ExponentialMovingAverage(decay={self.decay}, updates={self.updates})"

    def __call__(self, result: StepResult) -> None:
        """Take in the weights after a step."""
        self.update()
        self.step = result.step

    def update(self) -> None:
        """Take in the weights as they are now.

        Raises
        ------
        WeightsError
            If the network has other parameters than when the average was made; nothing is changed then.
        RuntimeError
            While the averages are applied.
        """
        self._take_in(self.decay if self.updates else 0.0)


class Lookahead(Average):
    """Callback that lets a network run ahead for some steps, then takes it back towards where it came from.

    After every `every` steps: mean += (1 - decay) * (weights - mean), then weights = mean.

    The averages, the paper's slow weights, begin as the weights `net` has now, and hold its running statistics, too;
    the optimizer's own averages go on as they are.  The slow weights are what a training is for: evaluations and
    ``weights.safetensors`` of `npcnn.train.Run` are of them, and `applied` puts them into the network.  So the steps
    after the last update, fewer than `every`, count for nothing.

    It stands where an `ExponentialMovingAverage` does: among the callbacks before those that use it, and as the
    `average` of `npcnn.train.Checkpoints`, `Evaluation` and `Run`.

    Parameters
    ----------
    net : Layer
        The network in training.
    decay : float or function of the step
        How much of the slow weights stays, from 0 to below 1: 1 - alpha of the paper.  A function is asked with the
        number of steps done, so for the first time with `every`, and may give 1, too.
    every : int
        Steps between updates, k of the paper.

    Attributes
    ----------
    mean, updates, step
        See `npcnn.train.averages.Average`.

    Raises
    ------
    TypeError, ValueError
        If `decay` or `every` is not such a number, or `net` no network.

    References
    ----------
    Zhang, Lucas, Hinton & Ba, "Lookahead Optimizer: k steps forward, 1 step back", 2019, algorithm 1.

    Examples
    --------
    >>> net = nn.Dense(1, 1, weight_init=nn.initializers.constant(1.0))
    >>> lookahead = nn.train.Lookahead(net, decay=0.75)
    >>> net.params["w"][...] = 5.0                       # so far five steps have brought it
    >>> lookahead.update(step=5)                         # 1 + 0.25 * (5 - 1)
    >>> net.params["w"].item()
    2.0

    Ever more of it stays until the end, at step 1,000:

    >>> lookahead = nn.train.Lookahead(net, decay=lambda step: 0.75 * (step / 1000) ** 3)
    """

    def __init__(self, net: Layer, decay: float | Schedule = 0.5, *, every: int = 5) -> None:
        super().__init__(net)
        self.decay = decay if callable(decay) else number(decay, "decay", minimum=0, below=1)
        self.every = integer(every, "every", minimum=1)

    def __repr__(self) -> str:
        return f"Lookahead(decay={self.decay!r}, every={self.every}, updates={self.updates})"

    def __call__(self, result: StepResult) -> None:
        """Update after every `every` steps."""
        if result.step % self.every == 0:
            self.update(result.step)
        self.step = result.step

    def update(self, step: int) -> None:
        """Let the slow weights follow those of the network, and put them into it.

        Raises
        ------
        ValueError
            If the function `decay` does not give a number from 0 to 1 for `step`; nothing is changed then.
        WeightsError
            If the network has other parameters than when the average was made; nothing is changed then.
        RuntimeError
            While the averages are applied.
        """
        decay = self.decay(step) if callable(self.decay) else self.decay
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be from 0 to 1, got {decay} from {self.decay!r} at step {step}")
        self._take_in(decay)
        for name, array in arrays_of(self.net).items():
            array[...] = self.mean[name]


def arrays_of(net: Any) -> Mapping[str, Array]:
    """Return what a training changes in a network: parameters and state, or of what is no `Layer` the parameters."""
    arrays: Mapping[str, Array] = net.arrays if isinstance(net, Layer) else net.params
    return arrays
