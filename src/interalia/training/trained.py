"""A trained run in Python: its tasks, metrics, history, report and saving as methods."""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, overload

from numpy.typing import ArrayLike
from torch import Tensor

from interalia import reports, tasks
from interalia.data import fingerprints
from interalia.errors import UserError
from interalia.games.capabilities import Generates, has
from interalia.metrics.evaluation import evaluate
from interalia.metrics.extractors import extractor_for
from interalia.reports import showing
from interalia.runs import loading
from interalia.runs.folder import Folder, export
from interalia.tasks import verbs
from interalia.tasks.calling import counted_conditions, plain_values
from interalia.tasks.result import Level

P = ParamSpec("P")
SHOWN = 36  # samples in a notebook


@dataclass(frozen=True)
class Posterior:
    """The encoder's distribution q(z | x) of n examples, by its moments and samples.

    Attributes:
        mean: the mean of z, shape (n, latent).
        std: the standard deviation of each dimension of z over the samples, shape (n, latent).
        draws: samples z ~ q(z | x), shape (draws, n, latent).
    """

    mean: Tensor
    std: Tensor
    draws: Tensor


class History(list[dict[str, Any]]):
    """The log of a training: a list of dictionaries, one for each line, with "step", "seconds", losses, metrics and others.

    ``pandas.DataFrame(history)`` is a table with a column for each name.
    """

    def column(self, name: str) -> tuple[list[int], list[float]]:
        """Returns the steps at which a value was logged, and the values; both are empty if there is no such name.

        Arguments:
            name: the name of the value, such as "losses/critic" or "metrics/reconstruction_ratio".
        """
        rows = [line for line in self if name in line]
        return [line["step"] for line in rows], [line[name] for line in rows]

    @property
    def names(self) -> list[str]:
        """The names of all logged values, in the order of their first appearance."""
        return list(dict.fromkeys(name for line in self for name in line))

    def __repr__(self) -> str:
        last = self[-1]["step"] if self else 0
        return f"History of {len(self)} lines up to step {last:,}, with {', '.join(self.names[:8])}, ..."


@dataclass(frozen=True, repr=False)
class Trained(loading.Loaded):
    """A trained game with its run, its folder and its data, and the tasks that it can be used for as methods.

    Inputs x of the tasks are tensors or arrays of n examples, pictures of Pillow, paths of images, folders or arrays, or
    lists of these; see `interalia.data.objects.as_inputs`. Further tasks are functions of `interalia.tasks`, which take an
    object of this class in place of a game.

    Attributes:
        lines: the log of a training without a folder; empty for others, whose log is in the folder.

    Example:
        >>> import interalia
        >>> trained = interalia.train("ali-digits", steps=2, verbose=False)
        >>> trained.generate(4, seed=0).shape, trained.encode(trained.dataset.test.x[:3]).shape
        (torch.Size([4, 1, 8, 8]), torch.Size([3, 16]))
    """

    lines: Sequence[Mapping[str, Any]] = ()

    def generate(
        self,
        count: int | None = None,
        *,
        condition: str | int | ArrayLike | None = None,
        seed: int | None = None,
        truncation: float | None = None,
        sample: bool = False,
    ) -> Tensor:
        """Returns generated examples, shape (count, *shape); see `interalia.tasks.generate`.

        Arguments:
            count: number of examples; None for 64, or for the numbers in `condition`.
            condition: for a conditional game labels or attributes: a label for all, or a text such as "3:10,5:10" (10
                examples of each label) or "Smiling+Male:8", or an array with a row for each example; None to draw them.
            seed: random seed; None for other examples at every call, which follow ``torch.manual_seed``.
            truncation: the largest absolute value of each latent, for a standard normal prior; None for no limit.
            sample: True for samples of the decoder's distribution p(x | z) in place of its mean.

        Raises:
            UserError: the game has no decoder, or an argument does not fit it.
        """
        plain_values(Trained.generate, {"count": count})
        condition = str(condition) if isinstance(condition, int) else condition
        y: Any = condition
        if isinstance(condition, str):
            y, count = counted_conditions(self.game, condition, count)
        elif condition is not None and count is None:
            count = len(tasks.condition(self.game, condition, len(condition))[0])  # type: ignore[arg-type]
        return tasks.generate(self, 64 if count is None else count, seed, y=y, sample=sample, truncation=truncation)

    @overload
    def encode(
        self, x: Any, *, draws: None = None, seed: int = 0, y: ArrayLike | None = None, level: Level = "upper"
    ) -> Tensor: ...

    @overload
    def encode(
        self, x: Any, *, draws: int, seed: int = 0, y: ArrayLike | None = None, level: Level = "upper"
    ) -> Posterior: ...

    def encode(
        self, x: Any, *, draws: int | None = None, seed: int = 0, y: ArrayLike | None = None, level: Level = "upper"
    ) -> Tensor | Posterior:
        """Returns the mean of q(z | x), shape (n, latent); with `draws` a `Posterior` with mean, deviation and samples.

        Arguments:
            x: the examples.
            draws: number of samples of q(z | x); None for the mean alone.
            seed: random seed.
            y: labels or attributes of the examples, for a conditional game.
            level: the level of the latents, "upper" or "lower", in a game with two.

        Raises:
            UserError: the game has no encoder, x does not fit, or `draws` is below 2.
        """
        plain_values(Trained.encode, {"draws": draws})
        if draws is None:
            return tasks.encode(self, x, seed, y=y, level=level)
        mean, std, found = tasks.posterior(self, x, draws, seed, y=y, level=level)
        return Posterior(mean, std, found)

    def decode(self, z: Tensor, *, y: Tensor | None = None, seed: int = 0) -> Tensor:
        """Returns the examples that latents z, shape (n, latent), are decoded to, shape (n, *shape).

        `y` are labels or attributes for a conditional game; by default they are drawn with `seed`.
        """
        return tasks.decode(self, z, seed, y=y)

    def reconstruct(
        self, x: Any, *, y: Tensor | None = None, seed: int = 0, level: Level = "upper", refine_steps: int = 0
    ) -> Tensor:
        """Returns reconstructions of examples x, shape (n, *shape).

        Arguments:
            x: the examples.
            y: their labels or attributes, for a conditional game.
            seed: random seed of an encoder that uses random numbers.
            level: the level of the latents, "upper" or "lower", in a game with two.
            refine_steps: steps of gradient descent on the reconstruction error that refine the encoder's z; 0 for none.

        Raises:
            UserError: the game has no decoder or no encoder, or x does not fit.
        """
        plain_values(Trained.reconstruct, {"refine_steps": refine_steps})
        if refine_steps:
            return tasks.decode(self, tasks.project(self, x, refine_steps, seed=seed, y=y), seed, y=y)
        return tasks.reconstruct(self, x, seed, y, level)

    def edit(
        self,
        x: Any,
        to: str | int | None = None,
        *,
        y: Tensor | None = None,
        scales: Sequence[float] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Returns examples with one property changed, shape (n, number of changes, *shape); see `interalia.tasks.verbs.edit`.

        Arguments:
            x: the examples.
            to: a label, or labels or attributes separated by commas, to change to; None for all that a conditional game has.
            y: labels or attributes of x, for a conditional game.
            scales: for an unconditional game the multiples of the direction of `to` in z; None for -2, -1, 0, 1 and 2.
            seed: random seed.

        Raises:
            UserError: the game has no encoder or no decoder, there is no such label, or x does not fit.
        """
        rows = tasks.as_inputs(self, x)
        chosen = None if scales is None else list(scales)
        label = None if to is None else str(to)
        return verbs.edits(self.game, rows, lambda: self.dataset, y, label, chosen, seed=seed)[0]

    def evaluate(
        self,
        split: Literal["test", "validation"] = "test",
        *,
        count: int | None = None,
        names: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> dict[str, float]:
        """Returns the metrics of the run by name. With a folder they are written there too; see `interalia.reports.evaluate`.

        Arguments:
            split: the split of the data that samples and reconstructions are compared with.
            count: number of samples and of examples; None for up to 5,000.
            names: names of metrics, or one of them; None for all that apply.
            seed: random seed.

        Raises:
            UserError: the data cannot be loaded, or a metric cannot be computed.
        """
        plain_values(Trained.evaluate, {"count": count, "seed": seed})
        names = [names] if isinstance(names, str) else names
        if names is not None and not all(isinstance(name, str) for name in names):
            raise UserError(
                f"`names` is {names!r}, and it must be names of metrics; `interalia list metrics` prints them."
            )
        if self.folder is not None:
            found = reports.evaluate(self, split, count, seed, names=names)
            return {one["name"]: one["value"] for one in found["metrics"]}
        device = str(tasks.device_of(self.game))
        extractor = extractor_for(self.dataset, device=device)
        metrics = evaluate(
            self.game, self.dataset, split=split, count=count, seed=seed, extractor=extractor, names=names
        )
        return {metric.name: metric.value for metric in metrics}

    @property
    def history(self) -> History:
        """The log of the training: losses every `log_every` steps, and metrics and diagnostics of each evaluation."""
        return History(map(dict, self.lines if self.folder is None else self.folder.log_lines()))

    def report(self) -> Path:
        """Writes the run's page ``report.html`` with its metrics and figures, and returns its path.

        Raises:
            UserError: the run has no folder.
        """
        self.check_folder()
        return reports.make(self)

    def check_folder(self) -> None:
        """Raises a UserError if the run has no folder."""
        if self.folder is None:
            raise UserError("this run has no folder to write to; save it first: trained = trained.save(FOLDER).")

    def save(self, path: Path | str) -> Trained:
        """Saves the run, and returns it with its new folder, which `interalia.load` opens.

        Arguments:
            path: a new folder, for the description, the log and the weights; or a file whose name ends in .safetensors, for
                the weights with the description in its header.

        Raises:
            UserError: the folder exists and is not empty, or cannot be written.
        """
        if not isinstance(path, str | Path) or Path(path).suffix in (".pt", ".pth", ".ckpt", ".bin"):
            raise UserError(
                f"`path` is {path!r}, and it must be a new folder, or a file whose name ends in .safetensors."
            )
        path = Path(path)
        if path.suffix == ".safetensors":
            export(self.game, self.run, self.step, path)
            return self
        folder = Folder(path)
        folder.check_free()
        path.mkdir(parents=True, exist_ok=True)
        folder.write(self.run, fingerprints.fingerprint(self.dataset), self.game)
        folder.write_log(self.history)
        export(self.game, self.run, self.step, folder.weights)
        return dataclasses.replace(self, folder=folder)

    def __repr__(self) -> str:
        game, run = type(self.game).__name__, self.run
        shape = "x".join(map(str, self.game.data.shape))
        data = run.data if self.in_memory is None else self.in_memory.name
        place = self.folder.path if self.folder else "in memory alone (trained.save(FOLDER) writes it)"
        return (
            f"{game} on {data}, {shape}, {run.latent_dim} latents, {self.step:,} of {run.steps or self.step:,} steps\n"
            f"networks {run.networks}, encoder {run.encoder}, {sum(p.numel() for p in self.game.parameters()):,} weights\n"
            f"{place}"
        )

    def _repr_html_(self) -> str:
        """Returns the description and a figure of samples as HTML, which a notebook shows."""
        from html import escape

        text = f"<pre style='white-space: pre-wrap'>{escape(repr(self))}</pre>"
        if len(self.game.data.shape) != 3 or not has(type(self.game), Generates) or self.game.data.other is not None:
            return text
        found = showing.png(verbs.generate(self.game, SHOWN))
        return text if found is None else f'{text}<img src="data:image/png;base64,{base64.b64encode(found).decode()}">'


def as_trained(function: Callable[P, loading.Loaded]) -> Callable[P, Trained]:
    """Returns a function with the same arguments and documentation, which returns its result as a `Trained`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Trained:
        """Calls the function, and adds the methods of `Trained` to its result."""
        found = function(*args, **kwargs)
        return Trained(**{field.name: getattr(found, field.name) for field in dataclasses.fields(loading.Loaded)})

    return call


load = as_trained(loading.load)
