"""Muon: an optimizer whose steps are as long in every direction.

A matrix of weights maps vectors to vectors, and so does its gradient; a few directions usually make up most of it.
Muon gives all of them the same weight before it takes its step (`npcnn.functional.orthogonalize`).  Vectors, such as
biases, have no such directions: they go by gradient descent with momentum, in the same optimizer.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from npcnn.functional import orthogonalize
from npcnn.functional.checks import boolean, integer, number
from npcnn.optimizers import Groups, Optimizer, Parameterized, with_momentum
from npcnn.schedules import Constant, Schedule


class Muon(Optimizer):
    """Momentum, then the update of each matrix orthogonalised; SGD with Nesterov's momentum for all other parameters.

    For a matrix W, and weights of more axes flattened to (all axes but the last, the last), which for a convolution is
    (KH * KW * C_in, C_out):

    m = momentum * m + grad;  W = W sqrt(C_out) / norm(W), if `normalize`;
    W -= lr * (orthogonalize(grad + momentum * m) + weight_decay * W).

    The length of the gradient plays no role.  All singular values of the update are near 1, so `lr` is about how far a
    step can move the output for an input of length 1.

    Parameters
    ----------
    net : Layer
        Whose parameters to change.
    lr : float or schedule
        Learning rate of the parameters that are orthogonalised: those with two axes or more, unless `groups` says
        otherwise.
    sgd_lr : float or schedule
        Learning rate of all others, which go by `npcnn.SGD` with Nesterov's momentum.
    momentum, sgd_momentum : float
        Of the two kinds of parameters, from 0 to below 1.
    newton_schulz_steps : int
        Steps of `npcnn.functional.orthogonalize`: three lift every singular value of at least a fiftieth of the norm to
        about 1, five every one of at least a six-hundredth.
    normalize : bool
        Whether to scale all weights that are orthogonalised, *before each of their steps*, to the norm sqrt(C_out): on
        average, filters of norm 1.  Then `lr` is about the share of the weights that a step replaces, and they need no
        decay.  It changes what the network computes, from the first step on, unless a normalisation (`npcnn.BatchNorm`)
        follows each of these layers and takes the scale out again.
    weight_decay : float
        For parameters that are orthogonalised, the share that is lost in a step of learning rate 1, as in
        `npcnn.AdamW`; for the others the factor of the L2 penalty's gradient, as in `npcnn.SGD`.
    groups : dict of dict, optional
        See `npcnn.optimizers.Optimizer`.  Besides, ``"orthogonalize": 0`` hands parameters over to SGD, which is usual
        for the classifier at the end, and `lr_factor` is then one of `sgd_lr`.
    clip_norm, clip_value
        See `npcnn.optimizers.Optimizer`.

    Attributes
    ----------
    orthogonalized : frozenset of str
        The names of the parameters that are orthogonalised.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or `groups` would have a vector orthogonalised.

    Notes
    -----
    The weights of a convolution in groups, a depthwise one too, are orthogonalised as one matrix.  A matrix of zeros
    has no scale, and is not normalised.  Where a learning rate or its factor is 0, weights stay as they are.

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    Bernstein & Newhouse, "Old Optimizer, New Norm: An Anthology", 2024.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm(8), nn.ReLU(), nn.GlobalAvgPool2D(), nn.Dense(8, 2))
    >>> optimizer = nn.Muon(net, 0.24, sgd_lr=0.05, normalize=True, groups={"4_dense.w": {"orthogonalize": 0}})
    >>> sorted(optimizer.orthogonalized)
    ['0_conv2d.w']

    The gradient is ten times as long in one direction as in the other, the step is not:

    >>> net = nn.Dense(2, 2, bias=False, dtype=np.float64, weight_init=nn.initializers.constant(0.0))
    >>> optimizer = nn.Muon(net, 1.0, sgd_lr=1.0)
    >>> net.grads["w"][...] = np.diag([-300.0, -30.0])
    >>> optimizer.step()
    >>> net.params["w"].diagonal().round(2)
    array([0.72, 0.71])
    """

    group_settings: ClassVar[tuple[str, ...]] = ("lr_factor", "weight_decay", "orthogonalize")

    def __init__(
        self,
        net: Parameterized,
        lr: float | Schedule,
        sgd_lr: float | Schedule,
        momentum: float = 0.6,
        sgd_momentum: float = 0.85,
        newton_schulz_steps: int = 3,
        normalize: bool = False,
        weight_decay: float = 0.0,
        *,
        groups: Groups | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(net, lr, groups=groups, clip_norm=clip_norm, clip_value=clip_value)
        self.sgd_schedule: Schedule = sgd_lr if callable(sgd_lr) else Constant(sgd_lr)
        self.momentum = number(momentum, "momentum", minimum=0, below=1)
        self.sgd_momentum = number(sgd_momentum, "sgd_momentum", minimum=0, below=1)
        self.newton_schulz_steps = integer(newton_schulz_steps, "newton_schulz_steps", minimum=1)
        self.normalize = boolean(normalize, "normalize")
        self.weight_decay = number(weight_decay, "weight_decay", minimum=0)
        self.orthogonalized = frozenset(name for name, param in net.params.items() if self._takes_matrix(name, param))
        self.velocity = self._zeros()

    @property
    def sgd_lr(self) -> float:
        """The learning rate of the next step of what is not orthogonalised."""
        return self.sgd_schedule(self.steps)

    def _takes_matrix(self, name: str, param: NDArray[Any]) -> bool:
        is_matrix = param.ndim >= 2
        chosen = self._setting(name, "orthogonalize", float(is_matrix))
        if chosen not in (0, 1):
            raise ValueError(f"groups must set orthogonalize to 0 or 1, got {chosen:g} for {name}")
        if chosen and not is_matrix:
            raise ValueError(
                f"groups sets orthogonalize to 1 for {name}, which has shape {param.shape}; "
                "only weights with 2 axes or more can be orthogonalised"
            )
        return bool(chosen)

    def _averages(self) -> dict[str, NDArray[Any]]:
        return {f"velocity.{name}": array for name, array in self.velocity.items()}

    def _constants(self) -> dict[str, Any]:
        return {
            "sgd_lr": self.sgd_schedule,
            "momentum": self.momentum,
            "sgd_momentum": self.sgd_momentum,
            "newton_schulz_steps": self.newton_schulz_steps,
            "normalize": self.normalize,
            "weight_decay": self.weight_decay,
        }

    def _rates(self) -> dict[str, float]:
        of_sgd = self._scheduled(self.sgd_schedule, "sgd_lr")
        return {name: rate if name in self.orthogonalized else of_sgd for name, rate in super()._rates().items()}

    def _update(self, name: str, param: NDArray[Any], grad: NDArray[Any], lr: float) -> None:
        weight_decay = self._setting(name, "weight_decay", self.weight_decay)
        if name not in self.orthogonalized:
            gradient = grad + weight_decay * param if weight_decay else grad
            param -= lr * with_momentum(gradient, self.velocity[name], self.sgd_momentum, nesterov=True)
            return
        direction = with_momentum(grad, self.velocity[name], self.momentum, nesterov=True)
        if lr == 0:
            return
        if self.normalize:
            _normalize(param)
        update = orthogonalize(direction.reshape(-1, param.shape[-1]), steps=self.newton_schulz_steps)
        update = update.reshape(param.shape)
        param -= lr * (update + weight_decay * param if weight_decay else update)


def _normalize(param: NDArray[Any]) -> None:
    """Scale weights, in place, to the norm sqrt(C_out)."""
    norm = math.sqrt(float(np.square(param, dtype=np.float64).sum()))
    if 0 < norm < math.inf:
        param *= math.sqrt(param.shape[-1]) / norm
