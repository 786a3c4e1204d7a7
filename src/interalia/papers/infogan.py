"""InfoGAN on MNIST: does a category that nobody named find the ten digits?"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from interalia import metrics, tasks
from interalia.data import Split, as_tensor
from interalia.papers.study import Column, Study, Trial
from interalia.registry import Part
from interalia.reports import plots
from interalia.runs import recipes


class Read(Trial):
    @cached_property
    def z(self) -> Tensor:
        return tasks.latents(self.game, 10_000, self.seed)  # for the bounds

    def read(self, split: Split) -> tuple[Tensor, Tensor]:
        """The most probable c1 and the label of each image."""
        logits = tasks.answers(self.game, as_tensor(split.x))[:, : self.codes.categorical[0]]
        return logits.argmax(1), torch.from_numpy(split.y)

    def error(self, matched: Split) -> float:
        """The error of c1 on test images, its categories matched to the labels of a split, %."""
        stands = metrics.matching(*self.read(matched), self.codes.categorical[0])
        return 100 * metrics.code_error(*self.read(self.dataset.test), stands)

    def draw(self) -> None:
        for i, code in enumerate(self.codes.names):
            plots.traversals([tasks.traverse(self.game, i, seed=self.seed).numpy()], self.picture(f"-{code}"))


NARROW = Part("infogan", width=16, leak=0.01)
QUARTER = recipes.infogan_mnist_paper(name="infogan-mnist-quarter", networks=NARROW, steps=10_000)
INFOGAN_MNIST = Study(
    name="infogan-mnist",
    about="InfoGAN's category of ten on MNIST, trained without labels, as a classifier of digits, and what samples tell of "
    "their codes.",
    rows={
        "as published": recipes.infogan_mnist_paper(name="infogan-mnist-full", precision="bf16"),
        "a quarter of the width, 10,000 updates": QUARTER,
        "one pass": recipes.infogan_mnist_paper(name="infogan-mnist-one-pass", game="infogan"),
    },
    columns={
        "error": Column("error of c1 %, matched on the test labels ↓", lambda t: t.error(t.dataset.test)),
        "error_validation": Column(
            "error of c1 %, matched on validation labels ↓", lambda t: t.error(t.dataset.validation)
        ),
        "c1": Column("L of c1, nats of 2.303 ↑", lambda t: float(t.code_bounds[0])),
        "c2": Column("L of c2, nats ↑", lambda t: float(t.code_bounds[1])),
        "c3": Column("L of c3, nats ↑", lambda t: float(t.code_bounds[2])),
    },
    trial=Read,
    pictures=(Read.draw,),
    paper={"as published": {"InfoGAN, section 7.2": {"error": "5", "seeds": "not stated", "steps": "5,000"}}},
    quick={"data": "digits", "steps": 200},
    measured="error: the most probable c1 of each test image under batch norm's running statistics, the ten categories "
    "matched one to one to the digits by the Hungarian method, on the test labels themselves (the paper names no other) "
    "and, beside it, on the validation labels; L = E[log Q(c | x)] + H(c) on 10,000 samples, for c2 and c3 with Q's "
    "standard deviation refitted to the samples; traversals of every seed lie in the folder pictures",
    deviations="50,000 training images (the paper: 55,000), last weights; Q has a fixed standard deviation of 1, lambda is "
    "1 for all codes; critic and generator move on fresh z, and data and samples pass the critic apart, each under a batch "
    "norm of its own, as in the authors' program (which shows both moves the same images); leak 0.1 as the paper prints "
    "(the program has 0.01); a quarter of the width: 16 and 32 maps and 256 units; one pass: data and samples pass the "
    "critic together, so that batch norm sees them mixed",
    chosen="Nothing was chosen on test data but the matching of the first column.",
    spread=("error", "error_validation"),
)
