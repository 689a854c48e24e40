"""Training: the loop, what it leaves behind, and how it goes on after an interruption.

============================  =====================================================
module                        what is there
============================  =====================================================
`loop`                        `fit` and `evaluate`
`logs`                        callbacks: CSV, JSON lines, TensorBoard, the curve
`checkpoints`                 callback, and how to resume
`generators`                  the random generators of a network
`diagnosis`                   where a NaN began
============================  =====================================================
"""

from npcnn.train.checkpoints import Checkpoints, Resumed
from npcnn.train.diagnosis import first_not_finite
from npcnn.train.generators import generator_states, set_generator_states
from npcnn.train.logs import CurvePlot, MetricsCSV, MetricsJSONL, TensorBoard, read_metrics
from npcnn.train.loop import (
    Callback,
    NonFiniteError,
    StepResult,
    StopTraining,
    evaluate,
    fit,
)

__all__ = [
    "Callback",
    "Checkpoints",
    "CurvePlot",
    "MetricsCSV",
    "MetricsJSONL",
    "NonFiniteError",
    "Resumed",
    "StepResult",
    "StopTraining",
    "TensorBoard",
    "evaluate",
    "first_not_finite",
    "fit",
    "generator_states",
    "read_metrics",
    "set_generator_states",
]
