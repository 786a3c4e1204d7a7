"""The trained decoder of a game that only infers: opened, and tried on draws of the prior."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from interalia import conditionals
from interalia.contexts import quietly
from interalia.errors import UserError
from interalia.games.capabilities import Generates
from interalia.games.needs import Given, declared

if TYPE_CHECKING:
    from interalia.conditionals import Conditional, Prior
    from interalia.games import Game
    from interalia.runs import Run

TRIED = 16  # draws that a user's generator is tried on
SLACK = 1e-3  # by which its images may leave [0, 1]


def given(
    run: Run,
    kind: type[Game],
    module: nn.Module | None,
    shape: tuple[int, ...],
    prior: Prior,
    trust: bool = False,
) -> Conditional | None:
    """The trained decoder of a game that only infers; None for a game that trains its own.

    Raises:
        UserError: there is none, it cannot be read, it is a .pt2 file and there is no `trust` in it, or what it takes or
            answers does not fit.
    """
    from interalia.runs import (
        loading,  # here, for the generator of a run is loaded as any run is, its own generator first
    )

    if not isinstance(declared(kind).get("decoder"), Given):
        if run.generator is not None or module is not None:
            raise UserError(f"{kind.__name__} trains a decoder of its own; leave --generator out.")
        return None
    if module is None and run.generator is None:
        raise UserError(
            f"{kind.__name__} infers for a generator that is trained already; give the folder of its run, or a .pt2 file, "
            f"with --generator."
        )
    path = Path(run.generator or "")
    if module is not None:
        decoder: Conditional = conditionals.Dirac(copy.deepcopy(module))  # the person's own stays as it is
    elif path.suffix == ".pt2":
        decoder = conditionals.Dirac(_exported(path, prior.size, trust))
    elif path.is_file() and path.suffix != ".safetensors":
        raise UserError(
            f"the generator {path} is a file of another kind; give the folder of a run, its .safetensors, or a .pt2 file "
            f"written by torch.export.save."
        )
    else:
        try:
            game = loading.load(path, trust=trust).game
        except UserError as error:
            raise UserError(f"the generator that this run infers for cannot be loaded: {error}") from None
        if game.data.condition:
            raise UserError(
                f"the generator {path} is told {game.data.y}, and {kind.__name__} "
                f"infers for one that is told nothing; give one that was trained without."
            )
        if not isinstance(game, Generates):
            raise UserError(
                f"the run {run.generator} has no decoder, being a {type(game).__name__}; give a generator's."
            )
        decoder = game.decoder
        if _settings(game.prior) != _settings(prior):
            raise UserError(
                f"the generator {run.generator} was trained with {game.prior.size} latents of prior "
                f"{type(game.prior).__name__}, and this run has {prior.size} of {type(prior).__name__}; give --latent "
                f"{game.prior.size} and the same --prior."
            )
    _try(decoder, shape, prior)
    return decoder


def _try(decoder: Conditional, shape: tuple[int, ...], prior: Prior) -> None:
    """Raises a UserError unless the decoder makes finite x of that shape, images in [0, 1], of some draws of the prior."""
    for name, part in decoder.state_dict().items():
        if part.is_floating_point() and part.dtype != torch.float32:
            own = name.removeprefix("network.").removeprefix("module.")
            raise UserError(
                f"the generator's {own} is {part.dtype}, and it must be torch.float32; convert the module by .float()."
            )
    with quietly(decoder if next(decoder.parameters(), None) is not None else nn.Linear(1, 1)):
        place = next(decoder.parameters(), torch.zeros(())).device
        z = prior.sample((TRIED,)).to(place)
        try:
            x = (
                decoder.network(z) if isinstance(decoder, conditionals.Dirac) else decoder(z).mean
            )  # as it answers, a tensor or not
        except Exception as error:  # whatever somebody's module may raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if isinstance(error, RuntimeError | ValueError | IndexError | AssertionError):
                raise UserError(
                    f"the generator does not take {prior.size} latents ({reason}); give the size of its z with --latent, "
                    f"if that is what is wrong."
                ) from None
            raise UserError(
                f"the generator fails on z of shape {tuple(z.shape)} ({reason}); give a module that takes z alone and "
                f"answers x."
            ) from None
    if not isinstance(x, Tensor) or x.dtype != torch.float32:
        found = x.dtype if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise UserError(f"the generator answers {found}, and it must answer x, one tensor of torch.float32; wrap it.")
    if tuple(x.shape) != (TRIED, *shape):
        raise UserError(
            f"the generator makes images of {tuple(x.shape[1:])}, and the data's are {shape}; give the data that it was "
            f"trained on, or --size."
        )
    if not bool(x.isfinite().all()):
        raise UserError("the generator makes numbers that are not finite (NaN or infinity); give one that is whole.")
    low, high = float(x.min()), float(x.max())
    if len(shape) == 3 and (low < -SLACK or high > 1 + SLACK):
        raise UserError(
            f"the generator makes images from {low:.3g} to {high:.3g}, and here they are in [0, 1]; wrap it, for example by "
            f"(x + 1) / 2 after a tanh."
        )


def _settings(prior: Prior) -> dict[str, Any]:
    """What a prior was made with, its class included."""
    plain = {key: value for key, value in vars(prior).items() if not key.startswith("_") and key != "training"}
    return {"class": type(prior), **plain}


def _exported(path: Path, latent: int, trust: bool) -> nn.Module:
    """The module that torch.export.save wrote, of z in batches of any size.

    `torch.export.load` unpickles what lies in the archive and evaluates texts of it, and nothing turns that off: whoever
    made the file can have any code executed. So it is opened only with the consent of the person who asks for it.
    """
    from torch import nn

    class Exported(nn.Module):
        """An exported program has no modes; it stays in the one that it was exported in."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def train(self, mode: bool = True) -> Exported:
            self.training = mode
            return self

        def forward(self, z: Tensor) -> Tensor:
            x: Tensor = self.module(z)
            return x

    if not path.is_file():
        raise UserError(
            f"there is no generator {path}; give the folder of a run, or a file written by torch.export.save."
        )
    if not trust:
        raise UserError(
            f"the generator {path} is a program of torch.export, and opening it can execute any code that its maker put "
            f"into it; if you trust its maker, give --trust-generator (from Python trust=True), else leave it closed."
        )
    try:
        program = torch.export.load(path)
        module = program.module()
    except Exception as error:
        raise UserError(
            f"{path} is no program of torch.export ({str(error).splitlines()[0]}); export it anew."
        ) from None
    inputs = set(program.graph_signature.user_inputs)
    taken = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    if len(taken) != 1 or not isinstance(taken[0], torch.Tensor) or taken[0].ndim != 2:
        raise UserError(
            f"the generator {path} takes {len(taken)} input(s), and it must take z alone, shape (n, latent); wrap it and "
            f"export it anew."
        )
    rows, columns = taken[0].shape
    if isinstance(rows, int):
        raise UserError(
            f"the generator {path} was exported for batches of {rows} alone; export it anew with "
            f"dynamic_shapes=({{0: torch.export.Dim('n')}},)."
        )
    if isinstance(columns, int) and columns != latent:
        raise UserError(
            f"the generator {path} takes {columns} latents, and this run has {latent}; give --latent {columns}."
        )
    return Exported(module)
