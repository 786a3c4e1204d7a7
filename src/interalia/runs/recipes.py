"""Named runs. A recipe is a function of overrides: ``recipes.ali_mnist(steps=500, seed=3)``.

Names that end in ``-paper`` follow the paper, ``-report`` the reproduction report; the others are this library's own
settings, tuned once on validation data of small images and used for all of them alike: ALI with ALICE's round trip
(`game="ali"` is ALI alone).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from interalia.registry import Registry
from interalia.runs import Run
from interalia.runs.folder import fitted

Recipe = Callable[..., Run]
_RECIPES: dict[str, Recipe] = {}


def recipe(name: str, about: str, base: Run | str, **settings: Any) -> None:
    """Adds a recipe: `base`, a run or the name of a recipe before this one, with these settings.

    The recipe takes overrides, and the latents and the prior of a generator among them, unless they are given too.
    """
    run = (_RECIPES[base]() if isinstance(base, str) else base).replace(name=name, **settings)

    def made(**overrides: Any) -> Run:
        return fitted(run.replace(**overrides), overrides)

    made.__name__ = made.__qualname__ = name.replace("-", "_")
    made.__doc__ = about
    _RECIPES[name] = made


# fmt: off
# What keeps adversarial inference from failing within minutes: a zero-centred gradient penalty in x and z on both joints,
# relativistic pairing, a score of x alone beside that of the pair, averaged weights; and for faithful reconstructions
# ALICE's round trip, without which ALI leaves open which z belongs to which x (`--game ali` leaves it out). Its weight, the
# schedule and the rest are the best of a search on validation data: `interalia reproduce recipe-search`.
TUNED = Run(game="alice(cycle=5.0)", divergence="relativistic", penalty="r1r2(gamma=1.0, every=4)",
            networks="auto(unary=True)", optimiser="adam(lr=0.0005)", schedule="cosine", ema=0.998, latent=32,
            batch=128)
# The generative family on one game: what differs is the divergence, the penalty and how the players move. The networks, the
# rates and the length are this library's own and the same for all of them, but where a method asks for another optimiser.
GENERATIVE = Run(game="gan", data="mnist", latent=64, optimiser="adam(lr=0.0002)", batch=128, epochs=20, ema=0.998)
# AVB in settings for a CPU: adaptive contrast with covariances, since nothing lays an implicit q along the axes; narrower
# networks than the paper's, falling rates. A spike of the critic's gradient can throw the posterior far away, where it comes
# back from slowly: hence `clip`.
TUNED_AVB = Run(game="avb(likelihood='bernoulli', contrast=True, correlated=True)", encoder="spanned",
                networks="avb(width=16, critic_width=512, features=1024, quadratic='nowhere')", latent=32,
                optimiser="adam(lr=0.0005)", rates={"critic": 0.001}, schedule="linear(start=0.5, final=0.0)",
                clip=1.0, batch=128, epochs=20, ema=0.998)
# Small and quick: the paper's networks at half or a quarter of its width, small batches, averaged weights.
TRANSLATING = Run(game="cyclegan", divergence="least-squares", networks="cyclegan(width=32)",
                  optimiser="adam(lr=0.0002)", schedule="linear(start=0.5, final=0.0)", batch=4, ema=0.99,
                  evaluate_every=1000, checkpoint_every=500)
PAPER = Run(optimiser="adam(lr=0.0001, beta1=0.5, beta2=0.999)", batch=100, ema=0, evaluate_every=5000,
            checkpoint_every=2000)
# The reproduction report's Table 1 with its hack: annealed instance noise at the critic's inputs.
REPORT = PAPER.replace(size=28, networks="ali-28", optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999)",
                       noise="annealed(std=0.1)", epochs=100)
PAPER_BIGAN = PAPER.replace(networks="bigan-mlp", encoder="dirac", prior="uniform", latent=50,
                            optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999, weight_decay=2.5e-05)",
                            schedule="exponential(start=0.5, final=0.01)", batch=128, epochs=400, population=1000)
# AVB's table. The paper divides the autoencoder's loss by the number of pixels, which Adam does not notice.
PAPER_AVB = Run(game="avb(likelihood='bernoulli')", networks="avb", encoder="implicit(noise=32)", latent=8,
                optimiser="adam(lr=0.00005, beta1=0.5, beta2=0.999)", rates={"critic": 0.0001}, batch=128,
                steps=2_500_000, ema=0, evaluate_every=25_000, checkpoint_every=5000)
PAPER_MIXTURE = Run(data="grid25", networks="ali-mixture", encoder="implicit(noise=2)", latent=2,
                    optimiser="adam(lr=0.0001, beta1=0.8, beta2=0.999)", batch=100, epochs=200, ema=0,
                    evaluate_every=10_000, checkpoint_every=10_000, log_every=200)
INFOGAN = Run(game="infogan(together=False)", data="mnist", networks="infogan",
              prior="codes(categorical=[10], uniform=2, noise='uniform')", latent=74,
              optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999)", rates={"generator": 0.001}, batch=128, steps=5000)
PAPER_CYCLEGAN = PAPER.replace(game="cyclegan", networks="cyclegan", divergence="least-squares",
                               optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999)",
                               schedule="linear(start=0.5, final=0.0)", batch=1, epochs=200)
FIVE_TO_ONE = "alternating(turns={'critic': 5, 'generator': 1})"

# A row: the name, what it is, what it begins from, and what it changes there.
recipe("ali-digits",
       "ALI with ALICE's round trip on scikit-learn's handwritten digits: a minute on a laptop, no network needed.",
       TUNED, data="digits", optimiser="adam(lr=0.001)", latent=16, steps=4000, evaluate_every=1000)
recipe("bigan-digits",
       "BiGAN, ALI with a deterministic encoder, with the round trip, on scikit-learn's handwritten digits.",
       "ali-digits", encoder="dirac")
recipe("gan-digits",
       "GAN, the same loop without an encoder, on scikit-learn's handwritten digits.",
       "ali-digits", game="gan")

recipe("gan-mnist", "GAN with the non-saturating loss on MNIST, kept in balance by R1.",
       GENERATIVE, penalty="r1(gamma=1.0, every=4)")
recipe("gan-minimax-mnist", "GAN with the minimax loss, the generator minimising what the critic maximises, on MNIST.",
       "gan-mnist", divergence="gan(saturating=True)")
recipe("gan-k-mnist",
       "GAN with K = 5 critic steps to one of the generator on MNIST.",
       "gan-mnist", dynamics=FIVE_TO_ONE)
recipe("cgan-mnist",
       "Conditional GAN on MNIST: decoder and critic are told the digit; `interalia generate RUN --label 3`.",
       "gan-mnist", labels=True)
recipe("lsgan-mnist", "LSGAN on MNIST: least squares with targets 0, 1, 1.", "gan-mnist", divergence="least-squares")
recipe("wgan-mnist", "WGAN on MNIST as published: weights clipped to 0.01, RMSprop at 5e-5, five critic steps to one.",
       GENERATIVE, divergence="wasserstein", penalty="clip(bound=0.01)", optimiser="rmsprop(lr=5e-05)",
       dynamics=FIVE_TO_ONE)
recipe("wgan-gp-mnist",
       "WGAN-GP on MNIST: the one-centred penalty at weight 10, Adam 1e-4 (0, 0.9), five critic steps to one.",
       GENERATIVE, divergence="wasserstein", penalty="interpolated(weight=10.0)",
       optimiser="adam(lr=0.0001, beta1=0.0, beta2=0.9)", dynamics=FIVE_TO_ONE)
recipe("fgan-mnist", "f-GAN on MNIST under Pearson's chi-square; any f-divergence takes its place (--divergence).",
       "gan-mnist", divergence="pearson")

recipe("ali-mnist", "ALI with ALICE's round trip on MNIST.", TUNED, data="mnist", epochs=20)
recipe("ali-fashion-mnist", "ALI with ALICE's round trip on Fashion-MNIST.", TUNED, data="fashion-mnist", epochs=20)
recipe("ali-svhn", "ALI with ALICE's round trip on SVHN.", TUNED, data="svhn", latent=64, epochs=20)
recipe("ali-cifar10", "ALI with ALICE's round trip on CIFAR-10.", TUNED, data="cifar10", latent=64, epochs=100)
recipe("ali-celeba",
       "ALI with ALICE's round trip on CelebA at 64x64.",
       TUNED, data="celeba", size=64, latent=128, epochs=20)
recipe("ali-images",
       "ALI with ALICE's round trip on images of your own (give --data), networks chosen from their shape.",
       TUNED, latent=64, steps=20_000)
recipe("cali-mnist",
       "Conditional ALI on MNIST, with ALICE's round trip: encoder, decoder and critic are told the digit.",
       "ali-mnist", labels=True, schedule="linear(start=0.5, final=0.0)")
recipe("cali-celeba",
       "Conditional ALI on CelebA with all 40 attributes, with ALICE's round trip (--attributes Smiling,Male for some).",
       "ali-celeba", attributes="all")
recipe("alice-adversarial-mnist", "ALICE on MNIST with a critic of round trips in place of a distance.",
       "ali-mnist", game="alice-adversarial")
recipe("hali-mnist", "HALI on MNIST: two levels of latents.", "ali-mnist", game="hali")
recipe("semi-ali-mnist",
       "Semi-supervised ALI on MNIST: K + 1 classes in the critic of pairs, the labels of 1,000 images.",
       "ali-mnist", game="semi-ali(cycle=2.0, vat=2.0)", divergence="gan", penalty="r1r2(gamma=0.1, every=4)",
       schedule="linear(start=0.5, final=0.0)", labelled=1000)
recipe("posthoc-ali-mnist",
       "An encoder for a generator of MNIST that is trained already, by ALI's game (--generator RUN).",
       "ali-mnist", game="posthoc-ali")
recipe("latent-regressor-mnist",
       "An encoder for a generator of MNIST that is trained already, by regressing z on its samples (--generator RUN).",
       "ali-mnist", game="latent-regressor", penalty="none", epochs=5)
recipe("joint-latent-regressor-mnist", "A GAN and its latent regressor on MNIST, trained together.",
       "ali-mnist", game="joint-latent-regressor")
recipe("aae-mnist",
       "An adversarial autoencoder on MNIST.",
       "ali-mnist", game="aae", latent=16, divergence="gan", penalty="r1")
recipe("semi-aae-mnist",
       "A semi-supervised adversarial autoencoder on MNIST: style and a category, the labels of 1,000 images.",
       "aae-mnist", game="semi-aae", latent=26, prior="codes(categorical=[10], uniform=0)", encoder="dirac",
       labelled=1000)

recipe("vae-mnist", "A variational autoencoder on binarised MNIST, Bernoulli likelihood.",
       "ali-mnist", binarise="fresh", game="vae(likelihood='bernoulli')", penalty="none", divergence="gan",
       optimiser="adam(lr=0.001, beta1=0.9, beta2=0.999)")
recipe("avb-mnist",
       "AVB on binarised MNIST in settings for a CPU: adaptive contrast with covariances, narrower networks than the "
       "paper's, falling rates.",
       TUNED_AVB, data="mnist", binarise="fresh")
recipe("avb-8-mnist-paper", "AVB without adaptive contrast on MNIST, 8 latents, as published: 2.5 million steps.",
       PAPER_AVB, data="mnist", binarise="fresh")
recipe("avb-ac-8-mnist-paper", "AVB with adaptive contrast on MNIST, 8 latents, as published.",
       "avb-8-mnist-paper", game="avb(likelihood='bernoulli', contrast=True)",
       encoder="spanned(basis=16, start='published')")
recipe("avb-ac-32-mnist-paper", "AVB with adaptive contrast on MNIST, 32 latents, as published.",
       "avb-ac-8-mnist-paper", latent=32, encoder="spanned(noise=64, basis=32, start='published')")
# The richer posteriors that the literature compares on binarised MNIST: the VAE's settings, with another encoder. Where a
# paper's networks are fully connected, so are these. None of them is a paper's own setting to the letter: a published row
# mixes its posterior with its decoder, its length and its binarisation.
recipe("iwae-mnist", "An importance-weighted autoencoder on MNIST: the bound of K = 5 samples.",
       "vae-mnist", game="vae(likelihood='bernoulli', samples=5)")
recipe("vae-flow-mnist",
       "A VAE with normalizing flows on MNIST: T = 80 planar maps of 40 latents, fully connected networks.",
       "vae-mnist", encoder="planar(flows=80)", networks="mlp", latent=40)
recipe("vae-iaf-mnist", "A VAE with inverse autoregressive flow on MNIST.", "vae-mnist", encoder="iaf(width=320)")
recipe("vae-auxiliary-mnist",
       "An auxiliary VAE on MNIST: two levels of auxiliary variables, fully connected networks.",
       "vae-mnist", encoder="auxiliary(size_a=100, levels=2, width=256)", networks="mlp")
recipe("vae-hvi-mnist",
       "A VAE with Hamiltonian variational inference on MNIST: T = 16 leapfrog steps, fully connected networks.",
       "vae-mnist", encoder="hamiltonian(steps=16, width=300)", networks="mlp", epochs=10)
recipe("conv-vae-hvi-mnist",
       "A convolutional VAE with Hamiltonian variational inference on MNIST: T = 16 leapfrog steps.",
       "vae-hvi-mnist", networks="auto(width=16)", epochs=2)
recipe("vae-vgp-mnist",
       "A VAE with a variational Gaussian process posterior on MNIST, fully connected networks of two hidden layers.",
       "vae-mnist", encoder="gaussian-process(inducing=16, width=300)", networks="mlp")
recipe("draw-mnist", "DRAW on MNIST: 8 glimpses of 8 latents each, patches of 5x5 read and written.",
       "vae-mnist", encoder="recurrent", networks="draw(glimpses=8)", latent=64)
recipe("draw-vgp-mnist", "DRAW's decoder under a variational Gaussian process posterior, on MNIST.",
       "draw-mnist", encoder="gaussian-process(inducing=16, width=300)")
recipe("vae-gan-mnist", "VAE/GAN on MNIST: reconstructions are measured in the critic's features.",
       "ali-mnist", game="vae-gan", divergence="gan")

recipe("ali-svhn-paper", "ALI on SVHN as published: 100 epochs of the `extra` split.",
       PAPER, data="svhn", networks="ali-svhn", latent=256, epochs=100)
recipe("ali-cifar10-paper", "ALI on CIFAR-10 as published: 6,475 epochs.",
       PAPER, data="cifar10", networks="ali-cifar10", latent=64, epochs=6475)
recipe("ali-celeba-paper", "ALI on CelebA at 64x64 as published: 123 epochs.",
       PAPER, data="celeba", size=64, networks="ali-celeba", latent=256, epochs=123)
recipe("ali-tiny-imagenet-paper", "ALI on 64x64 images of ImageNet as published (give --data FOLDER): 125 epochs.",
       PAPER, size=64, networks="ali-tiny-imagenet", latent=256, epochs=125, batch=128)
recipe("bigan-mnist-paper",
       "BiGAN on permutation-invariant MNIST as published: 400 epochs, the rates decaying over the second half.",
       PAPER_BIGAN, data="mnist")
recipe("ali-mnist-report", "ALI on MNIST, 28x28, by the reproduction report's Table 1.",
       REPORT, data="mnist", latent=128, rates={"critic": 1e-5})
recipe("ali-svhn-report", "ALI on SVHN, 28x28, by the reproduction report's Table 1.",
       REPORT, data="svhn", latent=256, rates={"critic": 1e-4})
recipe("ali-celeba-report", "ALI on CelebA, 28x28, by the reproduction report's Table 1.",
       REPORT, data="celeba", latent=256, rates={"critic": 1e-4})

recipe("ali-grid25",
       "ALI on the grid of 25 Gaussians with the paper's networks and an implicit encoder.",
       PAPER_MIXTURE)
recipe("gan-grid25",
       "GAN on the grid of 25 Gaussians: ALI's sizes and loop, without the encoder.",
       "ali-grid25", game="gan")
recipe("infogan-mnist", "InfoGAN on MNIST: the published settings with simultaneous updates and averaged weights.",
       INFOGAN, dynamics="simultaneous", ema=0.998)
recipe("infogan-mnist-paper",
       "InfoGAN on MNIST as published: 62 numbers of noise, a category of 10, two uniform codes; 5,000 updates.",
       INFOGAN, dynamics="alternating", ema=0)

recipe("cyclegan-mnist",
       "CycleGAN between MNIST and MNIST inverted and turned by 90 degrees, with generators that see the quarter turns.",
       TRANSLATING, data="mnist-inverted", game="cyclegan(cycle=2.0)",
       networks="cyclegan(width=16, critic=32, turns=True)", optimiser="adam(lr=0.0005)",
       batch=16, steps=1000, evaluate_every=500)
recipe("cyclegan-edges",
       "CycleGAN between MNIST and its edges, with the paper's weight of the cycle (also: --data mnist-coloured).",
       "cyclegan-mnist", data="mnist-edges", game="cyclegan", networks="cyclegan(width=16, critic=32, layers=2)")
recipe("cyclegan-facades", "CycleGAN between photographs of house fronts and maps of their parts, at 64x64.",
       TRANSLATING, data="facades", size=64, steps=3000)
recipe("cyclegan-facades-paper",
       "CycleGAN as published, on facades at 256x256: one image a step, 200 epochs, the rate falling over the second half.",
       PAPER_CYCLEGAN, data="facades", size=256)
recipe("cyclegan-images",
       "CycleGAN between two folders of images of your own (give --data and --target, and --size for one size).",
       TRANSLATING, steps=20_000)
# fmt: on

REGISTRY: Registry[Recipe] = Registry("recipes", _RECIPES)

# What is tuned here -> what it was tuned from: the paper's recipe, or the report's where the paper has no such data.
PUBLISHED: dict[str, str] = {
    "ali-mnist": "ali-mnist-report",
    "ali-svhn": "ali-svhn-paper",
    "ali-cifar10": "ali-cifar10-paper",
    "ali-celeba": "ali-celeba-paper",
    "avb-mnist": "avb-ac-32-mnist-paper",
    "infogan-mnist": "infogan-mnist-paper",
    "cyclegan-facades": "cyclegan-facades-paper",
}
ALIKE = {"alice": "ali"}  # a tuned recipe plays ALI with a round trip, a published one without


def __getattr__(name: str) -> Recipe:
    """``recipes.ali_mnist`` is the recipe ali-mnist."""
    found = None if name.startswith("_") else REGISTRY.get(name.replace("_", "-"))
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name.replace("-", "_") for name in REGISTRY)]


def beside(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the tuned and of the published recipe of a run's game, data and encoder, and of what it is told; None
    where there are no two.

    Example:
        >>> from dataclasses import asdict
        >>> beside(asdict(REGISTRY["ali-cifar10"](latent=16)))
        ('ali-cifar10', 'ali-cifar10-paper')
        >>> beside(asdict(REGISTRY["ali-cifar10"](game="gan"))) is None
        True
    """

    def kind(run: Mapping[str, Any]) -> tuple[object, ...]:
        name, encoder = (str(run.get(key)).partition("(")[0].strip() for key in ("game", "encoder"))
        return ALIKE.get(name, name), encoder, *(run.get(key) or None for key in ("data", "labels", "attributes"))

    for tuned, published in PUBLISHED.items():
        if kind(run) in [kind(dataclasses.asdict(REGISTRY[name]())) for name in (tuned, published)]:
            return tuned, published
    return None
