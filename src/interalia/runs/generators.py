"""Trained generators that somebody exported as a program of torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from interalia.errors import UserError


class Exported(nn.Module):
    """An exported program has no modes; it stays in the one that it was exported in."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> Exported:
        self.training = mode
        return self

    def forward(self, z: Tensor) -> Tensor:
        return self.module(z)


def exported(path: Path, latent: int, trust: bool) -> nn.Module:
    """The module that torch.export.save wrote, of z in batches of any size.

    `torch.export.load` unpickles what lies in the archive and evaluates texts of it, and nothing turns that off: whoever
    made the file can have any code executed. So it is opened only with the consent of the person who asks for it.
    """
    if not path.is_file():
        raise UserError(
            f"there is no generator {path}; give the folder of a run, or a file written by torch.export.save."
        )
    if not trust:
        raise UserError(
            f"the generator {path} is a program of torch.export, and opening it can execute any code that its maker put "
            f"into it; if you trust its maker, give `trust`, else leave it closed."
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
            f"the generator {path} takes {columns} latents, and this run has {latent}; give `latent_dim={columns}`."
        )
    return Exported(module)
