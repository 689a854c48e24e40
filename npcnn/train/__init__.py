"""Training: the loop, what it leaves behind, and how it goes on after an interruption.

============================  =====================================================
module                        what is there
============================  =====================================================
`loop`                        one step after another; `evaluate`
`epochs`                      `fit`: for some epochs on a data set, or some steps
`callbacks`                   progress bar, evaluation, signals
`averages`                    callbacks: a moving average of the weights; lookahead
`logs`                        callbacks: CSV, JSON lines, TensorBoard, the curve
`history`                     callbacks: what was, in memory; when to end
`rate_finder`                 which learning rate to train with
`checkpoints`                 callback, and how to resume
`run`                         all of these in one folder: a run
`command_line`                checked numbers, the options of a run, errors in a line
`trained_on`                  which data a network was trained on
`generators`                  the random generators of a network
`diagnosis`                   where a NaN began
============================  =====================================================
"""

from npcnn.metrics import read_metrics
from npcnn.train.averages import ExponentialMovingAverage, Lookahead
from npcnn.train.callbacks import Evaluation, Progress, StopSignals
from npcnn.train.checkpoints import Checkpoints, Resumed
from npcnn.train.diagnosis import first_not_finite
from npcnn.train.epochs import fit
from npcnn.train.generators import generator_states, set_generator_states
from npcnn.train.history import EarlyStopping, History
from npcnn.train.logs import CurvePlot, Log, MetricsCSV, MetricsJSONL, TensorBoard
from npcnn.train.loop import (
    Callback,
    Loss,
    NonFiniteError,
    StepResult,
    StopTraining,
    evaluate,
)
from npcnn.train.rate_finder import LearningRates, find_lr
from npcnn.train.run import Run, numbered_folder, read_settings
from npcnn.train.trained_on import class_names_of, data_of

__all__ = [
    "Callback",
    "Checkpoints",
    "CurvePlot",
    "EarlyStopping",
    "Evaluation",
    "ExponentialMovingAverage",
    "History",
    "LearningRates",
    "Log",
    "Lookahead",
    "Loss",
    "MetricsCSV",
    "MetricsJSONL",
    "NonFiniteError",
    "Progress",
    "Resumed",
    "Run",
    "StepResult",
    "StopSignals",
    "StopTraining",
    "TensorBoard",
    "class_names_of",
    "data_of",
    "evaluate",
    "find_lr",
    "first_not_finite",
    "fit",
    "generator_states",
    "numbered_folder",
    "read_metrics",
    "read_settings",
    "set_generator_states",
]
