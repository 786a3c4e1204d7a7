"""InfoGAN on MNIST: does a category that nobody named find the ten digits?"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from interalia import tasks
from interalia.conditionals import Codes
from interalia.data.dataset import Split
from interalia.data.store import as_tensor
from interalia.metrics.codes import code_bounds, code_error, matching
from interalia.papers.study import Column, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes


class Read(Trial):
    samples_count = 10_000  # for the bounds

    @property
    def prior(self) -> Codes:
        prior = self.game.prior
        assert isinstance(prior, Codes)
        return prior

    def read(self, split: Split) -> tuple[Tensor, Tensor]:
        """The most probable c1 and the label of each image."""
        assert split.y is not None
        logits = tasks.answers(self.game, as_tensor(split.x))[:, : self.prior.categorical[0]]
        return logits.argmax(1), torch.from_numpy(split.y)

    def error(self, matched: str) -> float:
        """The error of c1 on test images, its categories matched to the labels of a split."""
        stands = matching(*self.read(getattr(self.dataset, matched)), self.prior.categorical[0])
        return 100 * code_error(*self.read(self.dataset.test), stands)

    @cached_property
    def bounds(self) -> dict[str, float]:
        """L of each code on samples, nats."""
        z = tasks.latents(self.game, self.samples_count, self.run.seed)
        found = code_bounds(self.prior, tasks.answers(self.game, tasks.decode(self.game, z)), z).tolist()
        return dict(zip(self.prior.names, found, strict=True))


def traversals(trial: Read) -> None:
    for i, code in enumerate(trial.prior.names):
        block = tasks.traverse(trial.game, i, seed=trial.run.seed).numpy()
        plots.traversals([block], trial.picture(f"-{code}"))


PAPER = recipes.infogan_mnist_paper(name="infogan-mnist-full", precision="bf16")

INFOGAN_MNIST = Study(
    name="infogan-mnist",
    about="InfoGAN's category of ten on MNIST, trained without labels, as a classifier of digits, and what samples tell of "
    "their codes.",
    rows={
        "as published": PAPER,
        "a quarter of the width, 10,000 updates": PAPER.replace(
            name="infogan-mnist-quarter",
            networks=Part("infogan", width=16, leak=0.01),
            steps=10_000,
            precision="auto",
        ),
        "one pass": PAPER.replace(name="infogan-mnist-one-pass", game="infogan", precision="auto"),
    },
    trial=Read,
    columns={
        "error": Column("error of c1 %, matched on the test labels ↓", lambda t: t.error("test")),
        "error_validation": Column("error of c1 %, matched on validation labels ↓", lambda t: t.error("validation")),
        "c1": Column("L of c1, nats of 2.303 ↑", lambda t: t.bounds["c1"]),
        "c2": Column("L of c2, nats ↑", lambda t: t.bounds["c2"]),
        "c3": Column("L of c3, nats ↑", lambda t: t.bounds["c3"]),
    },
    pictures=(traversals,),
    paper={"as published": {"InfoGAN, section 7.2": {"error": "5", "seeds": "not stated", "steps": "5,000"}}},
    quick={"data": "digits", "steps": 200},
    measured="error: the most probable c1 of each of the 10,000 test images under batch norm's running statistics, the ten "
    "categories matched one to one to the digits by the Hungarian method, on the test labels themselves (the paper names no "
    f"other) and, beside it, on the validation labels; L = E[log Q(c | x)] + H(c) on {Read.samples_count:,} samples, for c2 "
    "and c3 with Q's standard deviation refitted to the samples; traversals of every seed lie in the folder pictures",
    deviations="50,000 training images (the paper: 55,000), last weights; Q has a fixed standard deviation of 1, lambda is 1 "
    "for all codes; the critic moves first and the generator then, on fresh z, and data and samples pass the critic apart, "
    "each under a batch norm of its own, as in the authors' program (which shows both moves the same images; here they are "
    "fresh); leak 0.1 as the paper prints (the program has 0.01); row 'a quarter of the width': 16 and 32 maps and 256 units "
    "in place of 64, 128 and 1,024, leak 0.01, twice the updates, a fraction of the time; row 'one pass': data and samples "
    "pass the critic together, so that batch norm sees them mixed",
    seeds=5,
    chosen="Nothing was chosen on test data but the matching of the first column.",
    spread=("error", "error_validation"),
)
