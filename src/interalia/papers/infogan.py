"""InfoGAN on MNIST: an unsupervised categorical code as a classifier of digits."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import Split, as_tensor
from interalia.papers.experiment import Values, texts
from interalia.papers.study import Study, Trial, rows_of
from interalia.reports import plots


class Codes(Trial):
    """The categorical code c1 as a classifier of digits, and the information of samples on their codes."""

    @cached_property
    def z(self) -> Tensor:
        """10,000 samples of the prior, for the bounds of the codes' mutual information."""
        return tasks.sample_latents(self.game, 10_000, self.seed)

    def read(self, split: Split) -> tuple[Tensor, Tensor]:
        """Returns the most probable category of c1 and the label of each image of a split."""
        logits = tasks.code_parameters(self.game, as_tensor(split.x))[:, : self.codes.categorical[0]]
        return logits.argmax(1), torch.from_numpy(split.y)

    def error(self, matched: Split) -> float:
        """Returns the error of c1 on test images, %, with its categories matched to digits on the split `matched`."""
        stands = metrics.matching(*self.read(matched), self.codes.categorical[0])
        return 100 * metrics.code_error(*self.read(self.dataset.test), stands)

    @cached_property
    def values(self) -> Values:
        """The error of c1, matched on test and on validation labels, %; the bound of each code's mutual information, nats."""
        errors = {"error": self.error(self.dataset.test), "error_validation": self.error(self.dataset.validation)}
        return errors | {f"c{i}": float(bound) for i, bound in enumerate(self.code_bounds, 1)}

    def draw(self) -> None:
        """Draws a picture for each code, in which only this code varies along the rows."""
        for i, code in enumerate(self.codes.code_names):
            plots.traversals([tasks.traverse(self.game, i, seed=self.seed).numpy()], self.picture(f"-{code}"))


INFOGAN_MNIST = Study(**texts("infogan-mnist"), rows=rows_of("infogan-mnist"), trial=Codes)
