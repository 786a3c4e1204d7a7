"""InfoGAN on MNIST: an unsupervised categorical code as a classifier of digits."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import Split, as_tensor
from interalia.papers.experiment import Values, texts
from interalia.papers.study import Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes


class Codes(Trial):
    """The classification error of the categorical code c1, and the mutual information bound of each code."""

    @cached_property
    def z(self) -> Tensor:
        return tasks.sample_latents(self.game, 10_000, self.seed)  # for the bounds

    def read(self, split: Split) -> tuple[Tensor, Tensor]:
        """Returns the most probable c1 and the label of each image."""
        logits = tasks.code_parameters(self.game, as_tensor(split.x))[:, : self.codes.categorical[0]]
        return logits.argmax(1), torch.from_numpy(split.y)

    def error(self, matched: Split) -> float:
        """Returns the error of c1 on test images, %, with its categories matched to the labels of a split."""
        stands = metrics.matching(*self.read(matched), self.codes.categorical[0])
        return 100 * metrics.code_error(*self.read(self.dataset.test), stands)

    @cached_property
    def values(self) -> Values:
        errors = {"error": self.error(self.dataset.test), "error_validation": self.error(self.dataset.validation)}
        return errors | {f"c{i}": float(bound) for i, bound in enumerate(self.code_bounds, 1)}

    def draw(self) -> None:
        for i, code in enumerate(self.codes.code_names):
            plots.traversals([tasks.traverse(self.game, i, seed=self.seed).numpy()], self.picture(f"-{code}"))


NARROW = Part("infogan", width=16, leak=0.01)
QUARTER = recipes.infogan_mnist_paper(name="infogan-mnist-quarter", networks=NARROW, steps=10_000)
INFOGAN_MNIST = Study(
    **texts("infogan-mnist"),
    rows={
        "as published": recipes.infogan_mnist_paper(name="infogan-mnist-full", precision="bf16"),
        "a quarter of the width, 10,000 updates": QUARTER,
        "one pass": recipes.infogan_mnist_paper(name="infogan-mnist-one-pass", game="infogan"),
    },
    trial=Codes,
    quick={"data": "digits", "steps": 200},
    spread=("error", "error_validation"),
)
