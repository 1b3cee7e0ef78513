"""Training: configuration, loop, metrics, checkpoints, evaluation. `train(TrainConfig(epochs=1))` is all it takes."""

from __future__ import annotations

from ..weights import Checkpoint, load_checkpoint, save_checkpoint
from .benchmark import StepCost, measure
from .build import Job, build_job
from .config import TrainConfig
from .config_file import config_toml, read_config_file
from .configured import configured
from .contact_sheet import contact_sheet
from .convolutions import explain
from .dry_run import dry_run
from .evaluate import Evaluation, evaluate
from .gradients import gradients, micro_batches
from .interrupts import Interrupted
from .loop import Trainer
from .lr_finder import RateCurve, find_lr
from .memory import readable
from .observer import Observer
from .plan import Stage, stages
from .plan_folder import PlanFolder, trained
from .predictor import Predictor
from .rate_plot import plot_rates, require_plot
from .rehearsal import Prediction, Rehearsal
from .run import Result, find_run
from .run_folder import RunFolder
from .staged import train
from .throughput import Throughput, throughput
from .unchanged import unchanged

__all__ = [
    "Checkpoint",
    "Evaluation",
    "Interrupted",
    "Job",
    "Observer",
    "PlanFolder",
    "Prediction",
    "Predictor",
    "RateCurve",
    "Rehearsal",
    "Result",
    "RunFolder",
    "Stage",
    "StepCost",
    "Throughput",
    "TrainConfig",
    "Trainer",
    "build_job",
    "config_toml",
    "configured",
    "contact_sheet",
    "dry_run",
    "evaluate",
    "explain",
    "find_lr",
    "find_run",
    "gradients",
    "load_checkpoint",
    "measure",
    "micro_batches",
    "plot_rates",
    "read_config_file",
    "readable",
    "require_plot",
    "save_checkpoint",
    "stages",
    "throughput",
    "train",
    "trained",
    "unchanged",
]
