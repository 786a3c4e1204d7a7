"""InfoGAN on MNIST: a code of ten categories, learned without labels, as a classifier of digits."""

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
    """One trained run of the experiment infogan-mnist, whose first code c1, of ten categories, is a classifier of digits."""

    @cached_property
    def z(self) -> Tensor:
        """10,000 samples of the prior, codes included, shape (10,000, latent), for the bounds of mutual information."""
        return tasks.sample_latents(self.game, 10_000, self.seed)

    def read(self, split: Split) -> tuple[Tensor, Tensor]:
        """Returns (most probable categories of c1, true labels) of the n images of a split, each of shape (n,)."""
        logits = tasks.code_parameters(self.game, as_tensor(split.x))[:, : self.codes.categorical[0]]
        return logits.argmax(1), torch.from_numpy(split.y)

    def error(self, matched: Split) -> float:
        """Returns the % of test images that c1 classifies wrong. Its categories are matched one to one to digits so that they
        are right most often on the split `matched`.
        """
        stands = metrics.matching(*self.read(matched), self.codes.categorical[0])
        return 100 * metrics.code_error(*self.read(self.dataset.test), stands)

    @cached_property
    def values(self) -> Values:
        """Column -> value: `error` and `error_validation`, the % of test images that c1 classifies wrong, its categories
        matched to digits on test or validation images; `c1`, `c2`, ..., lower bounds of the codes' mutual information with x,
        and `stability`, the mutual information of c1 before and after small affine maps of validation images, in nats.
        """
        errors = {"error": self.error(self.dataset.test), "error_validation": self.error(self.dataset.validation)}
        validation = metrics.Evidence(self.game, self.dataset, "validation")
        errors["stability"] = metrics.REGISTRY["code_stability"](validation)
        return errors | {f"c{i}": float(bound) for i, bound in enumerate(self.code_bounds, 1)}

    def draw(self) -> None:
        """Draws one PNG file for each code: a table of samples, in each row of which this code alone varies."""
        for i, code in enumerate(self.codes.code_names):
            plots.traversals([tasks.traverse(self.game, i, seed=self.seed).numpy()], self.picture(f"-{code}"))


INFOGAN_MNIST = Study(**texts("infogan-mnist"), rows=rows_of("infogan-mnist"), trial=Codes)
