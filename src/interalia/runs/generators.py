"""Pretrained generators in .pt2 files of torch.export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from interalia.errors import UserError


class Exported(nn.Module):
    """A module of torch.export. It has no training mode: it stays in the mode in which it was exported."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> Exported:
        self.training = mode
        return self

    def forward(self, z: Tensor) -> Tensor:
        return self.module(z)


def load_exported(path: Path, latent: int, trust: bool) -> nn.Module:
    """Loads a module z -> x from a file of torch.export.save, for batches of any size.

    `torch.export.load` unpickles the archive and evaluates texts in it, which cannot be turned off: the maker of the file can
    execute any code. The file is opened only if the user trusts it.

    Arguments:
        path: the .pt2 file.
        latent: the dimension of z.
        trust: True to open the file.

    Raises:
        UserError: there is no such file, it is not trusted, or its module does not take z alone, shape (n, latent).
    """
    if not path.is_file():
        raise UserError(
            f"there is no generator {path}; give the folder of a run, or a file written by torch.export.save."
        )
    if not trust:
        raise UserError(
            f"the generator {path} is a program of torch.export, and opening it can execute any code of its maker; give "
            f"`trust` if you trust its maker, or use another generator."
        )
    try:
        program = torch.export.load(path)
        module = program.module()
    except Exception as error:
        raise UserError(
            f"{path} is not a program of torch.export ({str(error).splitlines()[0]}); export it again."
        ) from None
    inputs = set(program.graph_signature.user_inputs)
    taken = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    if len(taken) != 1 or not isinstance(taken[0], torch.Tensor) or taken[0].ndim != 2:
        raise UserError(
            f"the generator {path} takes {len(taken)} input(s), and it must take z alone, shape (n, latent); wrap it and "
            f"export it again."
        )
    rows, columns = taken[0].shape
    if isinstance(rows, int):
        raise UserError(
            f"the generator {path} was exported for batches of {rows} only; export it again with "
            f"dynamic_shapes=({{0: torch.export.Dim('n')}},)."
        )
    if isinstance(columns, int) and columns != latent:
        raise UserError(
            f"the generator {path} takes {columns} latents, and this run has {latent}; give `latent_dim={columns}`."
        )
    return Exported(module)
