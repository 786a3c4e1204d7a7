"""The callback that writes the log: one JSON object per line, and TensorBoard event files on request."""

from __future__ import annotations

import json
from typing import Any

from interalia.disk import write_error
from interalia.errors import UserError
from interalia.games import Outcome
from interalia.training.callbacks.callback import Callback, is_due
from interalia.training.state import Training


class Log(Callback):
    """The callback that appends losses, mean scores of the critic, learning rates, epoch and time to the file
    ``log.jsonl``, or to the training's attribute `lines` if it has no folder.

    Arguments:
        tensorboard: True to write event files for TensorBoard too, to ``tensorboard/``; needs the extra "tensorboard".
    """

    def __init__(self, tensorboard: bool = False) -> None:
        self.tensorboard = tensorboard

    def start(self, training: Training) -> None:
        """Removes the log's lines of steps after the current one, which are trained again, and opens the event file.

        Raises:
            UserError: TensorBoard is requested and not installed, or the log cannot be written.
        """
        self.writer: Any = None
        if training.folder is None:
            return
        lines = [line for line in training.home.log_lines() if line["step"] <= training.step]
        training.home.write_log(lines)  # later steps are done again
        if self.tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise UserError(
                    'TensorBoard is not installed; pip install "interalia[tensorboard]", or leave `tensorboard` out.'
                ) from None
            self.writer = SummaryWriter(str(training.home.path / "tensorboard"), purge_step=training.step)  # type: ignore[no-untyped-call]

    def step(self, training: Training, outcome: Outcome) -> None:
        """Logs the losses, the mean of the scores, the mean of their sigmoids, and the learning rates.

        Their names are "losses/PLAYER", "scores/JOINT", "probabilities/JOINT" and "rates/PLAYER", with the names of
        each player and of each joint distribution that the critic scores. It does so every `log_every` steps of the run
        and at the last step.
        """
        if not is_due(training.step, training.run.log_every, training.steps):
            return
        values = {f"losses/{player}": loss.item() for player, loss in outcome.losses.items()}
        for joint, scores in outcome.scores.items():
            values[f"scores/{joint}"] = scores.detach().mean().item()
            values[f"probabilities/{joint}"] = scores.detach().sigmoid().mean().item()
        for player, optimizer in training.optimizers.items():
            values[f"rates/{player}"] = optimizer.param_groups[0]["lr"]
        self.write(training, values)

    def write(self, training: Training, values: dict[str, float], **texts: str) -> None:
        """Adds a line to the log, and the numbers to the event file of TensorBoard.

        Arguments:
            training: the training; its step, epoch and time are in each line.
            values: numbers by name, rounded to six digits, such as "losses/critic".
            texts: texts by name, such as the diagnosis of the training.

        Raises:
            UserError: the log cannot be written.
        """
        line = {
            "step": training.step,
            "epoch": round(training.samplers[0].epoch, 4),
            "seconds": round(training.seconds, 3),
            **{key: float(f"{value:.6g}") for key, value in values.items()},
            **texts,
        }
        if training.folder is None:
            training.lines.append(line)
            return
        try:
            with open(training.home.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise write_error(training.home.log, error) from error
        if self.writer is not None:
            for key, value in values.items():
                self.writer.add_scalar(key, value, training.step)

    def stop(self, training: Training) -> None:
        """Closes the event file of TensorBoard, if there is one."""
        if self.writer is not None:
            self.writer.close()
