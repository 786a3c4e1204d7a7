"""The largest sigma of an encoder's posteriors in the first steps of a training, and the largest loss of its generator.

python benchmarks/first_steps.py ali-celeba --data-dir DATA --batch-size 96 --steps 1000 --seed 0
"""

from __future__ import annotations

import argparse

from torch import Tensor
from torch.distributions import Distribution

from interalia.conditionals import Gaussian
from interalia.runs import recipes
from interalia.training import engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="with a Gaussian encoder and a player named generator")
    parser.add_argument("--data-dir", help="the folder of data files")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--steps", type=int, help="the length that the schedules are made for")
    parser.add_argument("--first", type=int, default=20, help="how many steps are taken")
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    name, first = arguments.pop("recipe"), arguments.pop("first")
    settings = {key: value for key, value in arguments.items() if value is not None}

    widths: list[float] = []
    of = Gaussian.of

    def recorded(self: Gaussian, outputs: Tensor) -> Distribution:
        q = of(self, outputs)
        if self.training:
            widths.append(float(q.base_dist.scale.detach().max()))
        return q

    Gaussian.of = recorded  # type: ignore[method-assign]
    training = engine.prepare(recipes.REGISTRY[name](**settings))
    losses = []
    for _ in range(first):
        engine.set_learning_rates(training)
        losses.append(float(training.dynamics.step(training.batches).losses["generator"].detach()))
    print(f"{name}, {first} steps: largest sigma {max(widths):,.2f}, largest loss of the generator {max(losses):.3g}")


if __name__ == "__main__":
    main()
