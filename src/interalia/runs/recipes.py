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

# What keeps adversarial inference from failing within minutes: a zero-centred gradient penalty in x and z on both joints,
# relativistic pairing, a score of x alone beside that of the pair, averaged weights; and for faithful reconstructions
# ALICE's round trip, without which ALI leaves open which z belongs to which x (`--game ali` leaves it out). Its weight, the
# schedule and the rest are the best of a search on validation data: `interalia reproduce recipe-search`.
TUNED = Run(
    game="alice(cycle=5.0)",
    divergence="relativistic",
    penalty="r1r2(gamma=1.0, every=4)",
    networks="auto(unary=True)",
    optimiser="adam(lr=0.0005)",
    schedule="cosine",
    ema=0.998,
    latent=32,
    batch=128,
)

PAPER = Run(
    optimiser="adam(lr=0.0001, beta1=0.5, beta2=0.999)",
    batch=100,
    ema=0,
    evaluate_every=5000,
    checkpoint_every=2000,
)


# AVB's table. The paper divides the autoencoder's loss by the number of pixels, which Adam does not notice.
PAPER_AVB = Run(
    game="avb(likelihood='bernoulli')",
    data="mnist",
    binarise="fresh",
    networks="avb",
    encoder="implicit(noise=32)",
    latent=8,
    optimiser="adam(lr=0.00005, beta1=0.5, beta2=0.999)",
    rates={"critic": 0.0001},
    batch=128,
    steps=2_500_000,
    ema=0,
    evaluate_every=25_000,
    checkpoint_every=5000,
)


def ali_digits(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on scikit-learn's handwritten digits: a minute on a laptop, no network needed."""
    run = TUNED.replace(
        name="ali-digits", data="digits", optimiser="adam(lr=0.001)", latent=16, steps=4000, evaluate_every=1000
    )
    return run.replace(**overrides)


def ali_mnist(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on MNIST."""
    return TUNED.replace(name="ali-mnist", data="mnist", epochs=20).replace(**overrides)


def cali_mnist(**overrides: Any) -> Run:
    """Conditional ALI on MNIST, with ALICE's round trip: encoder, decoder and critic are told the digit."""
    return ali_mnist(name="cali-mnist", labels=True, schedule="linear(start=0.5, final=0.0)").replace(**overrides)


def cali_celeba(**overrides: Any) -> Run:
    """Conditional ALI on CelebA with all 40 attributes, with ALICE's round trip (--attributes Smiling,Male for some)."""
    return ali_celeba(name="cali-celeba", attributes="all").replace(**overrides)


def alice_adversarial_mnist(**overrides: Any) -> Run:
    """ALICE on MNIST with a critic of round trips in place of a distance."""
    return ali_mnist(name="alice-adversarial-mnist", game="alice-adversarial").replace(**overrides)


def hali_mnist(**overrides: Any) -> Run:
    """HALI on MNIST: two levels of latents."""
    return ali_mnist(name="hali-mnist", game="hali").replace(**overrides)


def semi_ali_mnist(**overrides: Any) -> Run:
    """Semi-supervised ALI on MNIST: K + 1 classes in the critic of pairs, the labels of 1,000 images."""
    return ali_mnist(
        name="semi-ali-mnist",
        game="semi-ali(cycle=2.0, vat=2.0)",
        divergence="gan",
        penalty="r1r2(gamma=0.1, every=4)",
        schedule="linear(start=0.5, final=0.0)",
        labelled=1000,
    ).replace(**overrides)


def aae_mnist(**overrides: Any) -> Run:
    """An adversarial autoencoder on MNIST."""
    return ali_mnist(name="aae-mnist", game="aae", latent=16, divergence="gan", penalty="r1").replace(**overrides)


def semi_aae_mnist(**overrides: Any) -> Run:
    """A semi-supervised adversarial autoencoder on MNIST: style and a category, the labels of 1,000 images."""
    return aae_mnist(
        name="semi-aae-mnist",
        game="semi-aae",
        latent=26,
        prior="codes(categorical=[10], uniform=0)",
        encoder="dirac",
        labelled=1000,
    ).replace(**overrides)


def vae_mnist(**overrides: Any) -> Run:
    """A variational autoencoder on binarised MNIST, Bernoulli likelihood."""
    return ali_mnist(
        name="vae-mnist",
        binarise="fresh",
        game="vae(likelihood='bernoulli')",
        penalty="none",
        divergence="gan",
        optimiser="adam(lr=0.001, beta1=0.9, beta2=0.999)",
    ).replace(**overrides)


def avb_mnist(**overrides: Any) -> Run:
    """AVB on binarised MNIST in settings for a CPU: adaptive contrast with covariances, narrower networks than
    the paper's, falling rates."""
    return Run(
        name="avb-mnist",
        game="avb(likelihood='bernoulli', contrast=True, correlated=True)",  # nothing lays an implicit q along the axes
        data="mnist",
        binarise="fresh",
        encoder="spanned",
        networks="avb(width=16, critic_width=512, features=1024, quadratic='nowhere')",
        latent=32,
        optimiser="adam(lr=0.0005)",
        rates={"critic": 0.001},
        schedule="linear(start=0.5, final=0.0)",
        clip=1.0,  # a spike of the critic's gradient can throw the posterior far away, where it comes back from slowly
        batch=128,
        epochs=20,
        ema=0.998,
    ).replace(**overrides)


def avb_8_mnist_paper(**overrides: Any) -> Run:
    """AVB without adaptive contrast on MNIST, 8 latents, as published: 2.5 million steps."""
    return PAPER_AVB.replace(name="avb-8-mnist-paper").replace(**overrides)


def avb_ac_8_mnist_paper(**overrides: Any) -> Run:
    """AVB with adaptive contrast on MNIST, 8 latents, as published."""
    return PAPER_AVB.replace(
        name="avb-ac-8-mnist-paper",
        game="avb(likelihood='bernoulli', contrast=True)",
        encoder="spanned(basis=16, start='published')",
    ).replace(**overrides)


def avb_ac_32_mnist_paper(**overrides: Any) -> Run:
    """AVB with adaptive contrast on MNIST, 32 latents, as published."""
    return avb_ac_8_mnist_paper(
        name="avb-ac-32-mnist-paper", latent=32, encoder="spanned(noise=64, basis=32, start='published')"
    ).replace(**overrides)


# The richer posteriors that the literature compares on binarised MNIST: the VAE's settings, with another encoder. Where a
# paper's networks are fully connected, so are these. None of them is a paper's own setting to the letter: a published row
# mixes its posterior with its decoder, its length and its binarisation.
def iwae_mnist(**overrides: Any) -> Run:
    """An importance-weighted autoencoder on MNIST: the bound of K = 5 samples."""
    return vae_mnist(name="iwae-mnist", game="vae(likelihood='bernoulli', samples=5)").replace(**overrides)


def vae_flow_mnist(**overrides: Any) -> Run:
    """A VAE with normalizing flows on MNIST: T = 80 planar maps of 40 latents, fully connected networks."""
    return vae_mnist(name="vae-flow-mnist", encoder="planar(flows=80)", networks="mlp", latent=40).replace(**overrides)


def vae_iaf_mnist(**overrides: Any) -> Run:
    """A VAE with inverse autoregressive flow on MNIST."""
    return vae_mnist(name="vae-iaf-mnist", encoder="iaf(width=320)").replace(**overrides)


def vae_auxiliary_mnist(**overrides: Any) -> Run:
    """An auxiliary VAE on MNIST: two levels of auxiliary variables, fully connected networks."""
    return vae_mnist(
        name="vae-auxiliary-mnist", encoder="auxiliary(size_a=100, levels=2, width=256)", networks="mlp"
    ).replace(**overrides)


def vae_hvi_mnist(**overrides: Any) -> Run:
    """A VAE with Hamiltonian variational inference on MNIST: T = 16 leapfrog steps, fully connected networks."""
    return vae_mnist(
        name="vae-hvi-mnist", encoder="hamiltonian(steps=16, width=300)", networks="mlp", epochs=10
    ).replace(**overrides)


def conv_vae_hvi_mnist(**overrides: Any) -> Run:
    """A convolutional VAE with Hamiltonian variational inference on MNIST: T = 16 leapfrog steps."""
    return vae_hvi_mnist(name="conv-vae-hvi-mnist", networks="auto(width=16)", epochs=2).replace(**overrides)


def vae_vgp_mnist(**overrides: Any) -> Run:
    """A VAE with a variational Gaussian process posterior on MNIST, fully connected networks of two hidden layers."""
    return vae_mnist(name="vae-vgp-mnist", encoder="gaussian-process(inducing=16, width=300)", networks="mlp").replace(
        **overrides
    )


def draw_mnist(**overrides: Any) -> Run:
    """DRAW on MNIST: 8 glimpses of 8 latents each, patches of 5x5 read and written."""
    return vae_mnist(name="draw-mnist", encoder="recurrent", networks="draw(glimpses=8)", latent=64).replace(
        **overrides
    )


def draw_vgp_mnist(**overrides: Any) -> Run:
    """DRAW's decoder under a variational Gaussian process posterior, on MNIST."""
    return draw_mnist(name="draw-vgp-mnist", encoder="gaussian-process(inducing=16, width=300)").replace(**overrides)


def vae_gan_mnist(**overrides: Any) -> Run:
    """VAE/GAN on MNIST: reconstructions are measured in the critic's features."""
    return ali_mnist(name="vae-gan-mnist", game="vae-gan", divergence="gan").replace(**overrides)


def joint_latent_regressor_mnist(**overrides: Any) -> Run:
    """A GAN and its latent regressor on MNIST, trained together."""
    return ali_mnist(name="joint-latent-regressor-mnist", game="joint-latent-regressor").replace(**overrides)


def latent_regressor_mnist(**overrides: Any) -> Run:
    """An encoder for a generator of MNIST that is trained already, by regressing z on its samples (--generator RUN)."""
    run = ali_mnist(name="latent-regressor-mnist", game="latent-regressor", penalty="none", epochs=5)
    return fitted(run.replace(**overrides), overrides)


def posthoc_ali_mnist(**overrides: Any) -> Run:
    """An encoder for a generator of MNIST that is trained already, by ALI's game (--generator RUN)."""
    return fitted(ali_mnist(name="posthoc-ali-mnist", game="posthoc-ali").replace(**overrides), overrides)


def ali_fashion_mnist(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on Fashion-MNIST."""
    return TUNED.replace(name="ali-fashion-mnist", data="fashion-mnist", epochs=20).replace(**overrides)


def ali_svhn(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on SVHN."""
    return TUNED.replace(name="ali-svhn", data="svhn", latent=64, epochs=20).replace(**overrides)


def ali_cifar10(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on CIFAR-10."""
    return TUNED.replace(name="ali-cifar10", data="cifar10", latent=64, epochs=100).replace(**overrides)


def ali_celeba(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on CelebA at 64x64."""
    return TUNED.replace(name="ali-celeba", data="celeba", size=64, latent=128, epochs=20).replace(**overrides)


def ali_images(**overrides: Any) -> Run:
    """ALI with ALICE's round trip on images of your own (give --data), networks chosen from their shape."""
    return TUNED.replace(name="ali-images", latent=64, steps=20_000).replace(**overrides)


def bigan_digits(**overrides: Any) -> Run:
    """BiGAN, ALI with a deterministic encoder, with the round trip, on scikit-learn's handwritten digits."""
    return ali_digits(name="bigan-digits", encoder="dirac").replace(**overrides)


def gan_digits(**overrides: Any) -> Run:
    """GAN, the same loop without an encoder, on scikit-learn's handwritten digits."""
    return ali_digits(name="gan-digits", game="gan").replace(**overrides)


# The generative family on one game: what differs is the divergence, the penalty and how the players move. The networks, the
# rates and the length are this library's own and the same for all of them, but where a method asks for another optimiser.
GENERATIVE = Run(game="gan", data="mnist", latent=64, optimiser="adam(lr=0.0002)", batch=128, epochs=20, ema=0.998)


def gan_mnist(**overrides: Any) -> Run:
    """GAN with the non-saturating loss on MNIST, kept in balance by R1."""
    return GENERATIVE.replace(name="gan-mnist", penalty="r1(gamma=1.0, every=4)").replace(**overrides)


def gan_minimax_mnist(**overrides: Any) -> Run:
    """GAN with the minimax loss, the generator minimising what the critic maximises, on MNIST."""
    return gan_mnist(name="gan-minimax-mnist", divergence="gan(saturating=True)").replace(**overrides)


def gan_k_mnist(**overrides: Any) -> Run:
    """GAN with K = 5 critic steps to one of the generator on MNIST."""
    return gan_mnist(name="gan-k-mnist", dynamics="alternating(turns={'critic': 5, 'generator': 1})").replace(
        **overrides
    )


def cgan_mnist(**overrides: Any) -> Run:
    """Conditional GAN on MNIST: decoder and critic are told the digit; `interalia generate RUN --label 3`."""
    return gan_mnist(name="cgan-mnist", labels=True).replace(**overrides)


def lsgan_mnist(**overrides: Any) -> Run:
    """LSGAN on MNIST: least squares with targets 0, 1, 1."""
    return gan_mnist(name="lsgan-mnist", divergence="least-squares").replace(**overrides)


def wgan_mnist(**overrides: Any) -> Run:
    """WGAN on MNIST as published: weights clipped to 0.01, RMSprop at 5e-5, five critic steps to one."""
    return GENERATIVE.replace(
        name="wgan-mnist",
        divergence="wasserstein",
        penalty="clip(bound=0.01)",
        optimiser="rmsprop(lr=5e-05)",
        dynamics="alternating(turns={'critic': 5, 'generator': 1})",
    ).replace(**overrides)


def wgan_gp_mnist(**overrides: Any) -> Run:
    """WGAN-GP on MNIST: the one-centred penalty at weight 10, Adam 1e-4 (0, 0.9), five critic steps to one."""
    return GENERATIVE.replace(
        name="wgan-gp-mnist",
        divergence="wasserstein",
        penalty="interpolated(weight=10.0)",
        optimiser="adam(lr=0.0001, beta1=0.0, beta2=0.9)",
        dynamics="alternating(turns={'critic': 5, 'generator': 1})",
    ).replace(**overrides)


def fgan_mnist(**overrides: Any) -> Run:
    """f-GAN on MNIST under Pearson's chi-square; any f-divergence takes its place (--divergence)."""
    return gan_mnist(name="fgan-mnist", divergence="pearson").replace(**overrides)


def ali_svhn_paper(**overrides: Any) -> Run:
    """ALI on SVHN as published: 100 epochs of the `extra` split."""
    return PAPER.replace(name="ali-svhn-paper", data="svhn", networks="ali-svhn", latent=256, epochs=100).replace(
        **overrides
    )


def ali_cifar10_paper(**overrides: Any) -> Run:
    """ALI on CIFAR-10 as published: 6,475 epochs."""
    return PAPER.replace(
        name="ali-cifar10-paper", data="cifar10", networks="ali-cifar10", latent=64, epochs=6475
    ).replace(**overrides)


def ali_celeba_paper(**overrides: Any) -> Run:
    """ALI on CelebA at 64x64 as published: 123 epochs."""
    return PAPER.replace(
        name="ali-celeba-paper", data="celeba", size=64, networks="ali-celeba", latent=256, epochs=123
    ).replace(**overrides)


def ali_tiny_imagenet_paper(**overrides: Any) -> Run:
    """ALI on 64x64 images of ImageNet as published (give --data FOLDER): 125 epochs."""
    return PAPER.replace(
        name="ali-tiny-imagenet-paper", size=64, networks="ali-tiny-imagenet", latent=256, epochs=125, batch=128
    ).replace(**overrides)


def bigan_mnist_paper(**overrides: Any) -> Run:
    """BiGAN on permutation-invariant MNIST as published: 400 epochs, the rates decaying over the second half."""
    return Run(
        name="bigan-mnist-paper",
        population=1000,
        data="mnist",
        networks="bigan-mlp",
        encoder="dirac",
        prior="uniform",
        latent=50,
        optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999, weight_decay=2.5e-05)",
        schedule="exponential(start=0.5, final=0.01)",
        batch=128,
        epochs=400,
        ema=0,
        evaluate_every=5000,
        checkpoint_every=2000,
    ).replace(**overrides)


def report(name: str, data: str, latent: int, critic_rate: float) -> Run:
    """A row of the reproduction report's Table 1, with its hack: annealed instance noise at the critic's inputs."""
    return PAPER.replace(
        name=name,
        data=data,
        size=28,
        networks="ali-28",
        latent=latent,
        optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999)",
        rates={"critic": critic_rate},
        noise="annealed(std=0.1)",
        epochs=100,
    )


def ali_mnist_report(**overrides: Any) -> Run:
    """ALI on MNIST, 28x28, by the reproduction report's Table 1."""
    return report("ali-mnist-report", "mnist", 128, 1e-5).replace(**overrides)


def ali_svhn_report(**overrides: Any) -> Run:
    """ALI on SVHN, 28x28, by the reproduction report's Table 1."""
    return report("ali-svhn-report", "svhn", 256, 1e-4).replace(**overrides)


def ali_celeba_report(**overrides: Any) -> Run:
    """ALI on CelebA, 28x28, by the reproduction report's Table 1."""
    return report("ali-celeba-report", "celeba", 256, 1e-4).replace(**overrides)


def ali_grid25(**overrides: Any) -> Run:
    """ALI on the grid of 25 Gaussians with the paper's networks and an implicit encoder."""
    return Run(
        name="ali-grid25",
        data="grid25",
        networks="ali-mixture",
        encoder="implicit(noise=2)",
        latent=2,
        optimiser="adam(lr=0.0001, beta1=0.8, beta2=0.999)",
        batch=100,
        epochs=200,
        ema=0,
        evaluate_every=10_000,
        checkpoint_every=10_000,
        log_every=200,
    ).replace(**overrides)


def gan_grid25(**overrides: Any) -> Run:
    """GAN on the grid of 25 Gaussians: ALI's sizes and loop, without the encoder."""
    return ali_grid25(name="gan-grid25", game="gan").replace(**overrides)


def infogan_mnist_paper(**overrides: Any) -> Run:
    """InfoGAN on MNIST as published: 62 numbers of noise, a category of 10, two uniform codes; 5,000 updates."""
    return Run(
        name="infogan-mnist-paper",
        game="infogan(together=False)",
        data="mnist",
        networks="infogan",
        prior="codes(categorical=[10], uniform=2, noise='uniform')",
        latent=74,
        dynamics="alternating",
        optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999)",
        rates={"generator": 0.001},
        batch=128,
        steps=5000,
        ema=0,
    ).replace(**overrides)


def infogan_mnist(**overrides: Any) -> Run:
    """InfoGAN on MNIST: the published settings with simultaneous updates and averaged weights."""
    return infogan_mnist_paper(name="infogan-mnist", dynamics="simultaneous", ema=0.998).replace(**overrides)


# Small and quick: the paper's networks at half or a quarter of its width, small batches, averaged weights.
TRANSLATING = Run(
    game="cyclegan",
    divergence="least-squares",
    networks="cyclegan(width=32)",
    optimiser="adam(lr=0.0002)",
    schedule="linear(start=0.5, final=0.0)",
    batch=4,
    ema=0.99,
    evaluate_every=1000,
    checkpoint_every=500,
)


def cyclegan_mnist(**overrides: Any) -> Run:
    """CycleGAN between MNIST and MNIST inverted and turned by 90 degrees, with generators that see the quarter turns."""
    return TRANSLATING.replace(
        name="cyclegan-mnist",
        data="mnist-inverted",
        game="cyclegan(cycle=2.0)",
        networks="cyclegan(width=16, critic=32, turns=True)",
        optimiser="adam(lr=0.0005)",
        batch=16,
        steps=1000,
        evaluate_every=500,
    ).replace(**overrides)


def cyclegan_edges(**overrides: Any) -> Run:
    """CycleGAN between MNIST and its edges, with the paper's weight of the cycle (also: --data mnist-coloured)."""
    return cyclegan_mnist(
        name="cyclegan-edges", data="mnist-edges", game="cyclegan", networks="cyclegan(width=16, critic=32, layers=2)"
    ).replace(**overrides)


def cyclegan_facades(**overrides: Any) -> Run:
    """CycleGAN between photographs of house fronts and maps of their parts, at 64x64."""
    return TRANSLATING.replace(name="cyclegan-facades", data="facades", size=64, steps=3000).replace(**overrides)


def cyclegan_facades_paper(**overrides: Any) -> Run:
    """CycleGAN as published, on facades at 256x256: one image a step, 200 epochs, the rate falling over the second half."""
    return Run(
        name="cyclegan-facades-paper",
        game="cyclegan",
        data="facades",
        size=256,
        networks="cyclegan",
        divergence="least-squares",
        optimiser="adam(lr=0.0002, beta1=0.5, beta2=0.999)",
        schedule="linear(start=0.5, final=0.0)",
        batch=1,
        epochs=200,
        ema=0,
        evaluate_every=5000,
        checkpoint_every=2000,
    ).replace(**overrides)


def cyclegan_images(**overrides: Any) -> Run:
    """CycleGAN between two folders of images of your own (give --data and --target, and --size for one size)."""
    return TRANSLATING.replace(name="cyclegan-images", steps=20_000).replace(**overrides)


REGISTRY: Registry[Recipe] = Registry(
    "recipes",
    {
        recipe.__name__.replace("_", "-"): recipe
        for recipe in (
            ali_digits,
            bigan_digits,
            gan_digits,
            gan_mnist,
            gan_minimax_mnist,
            gan_k_mnist,
            cgan_mnist,
            lsgan_mnist,
            wgan_mnist,
            wgan_gp_mnist,
            fgan_mnist,
            ali_mnist,
            ali_fashion_mnist,
            ali_svhn,
            ali_cifar10,
            ali_celeba,
            ali_images,
            cali_mnist,
            cali_celeba,
            alice_adversarial_mnist,
            hali_mnist,
            semi_ali_mnist,
            posthoc_ali_mnist,
            latent_regressor_mnist,
            joint_latent_regressor_mnist,
            aae_mnist,
            semi_aae_mnist,
            vae_mnist,
            avb_mnist,
            avb_8_mnist_paper,
            avb_ac_8_mnist_paper,
            avb_ac_32_mnist_paper,
            iwae_mnist,
            vae_flow_mnist,
            vae_iaf_mnist,
            vae_auxiliary_mnist,
            vae_hvi_mnist,
            conv_vae_hvi_mnist,
            vae_vgp_mnist,
            draw_mnist,
            draw_vgp_mnist,
            vae_gan_mnist,
            ali_svhn_paper,
            ali_cifar10_paper,
            ali_celeba_paper,
            ali_tiny_imagenet_paper,
            bigan_mnist_paper,
            ali_mnist_report,
            ali_svhn_report,
            ali_celeba_report,
            ali_grid25,
            gan_grid25,
            infogan_mnist,
            infogan_mnist_paper,
            cyclegan_mnist,
            cyclegan_edges,
            cyclegan_facades,
            cyclegan_facades_paper,
            cyclegan_images,
        )
    },
)

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


def beside(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the tuned and of the published recipe of a run's game, data and encoder, and of what it is told; None
    where there are no two.

    Example:
        >>> from dataclasses import asdict
        >>> beside(asdict(ali_cifar10(latent=16)))
        ('ali-cifar10', 'ali-cifar10-paper')
        >>> beside(asdict(ali_cifar10(game="gan"))) is None
        True
    """

    def kind(run: Mapping[str, Any]) -> tuple[object, ...]:
        name, encoder = (str(run.get(key)).partition("(")[0].strip() for key in ("game", "encoder"))
        return ALIKE.get(name, name), encoder, *(run.get(key) or None for key in ("data", "labels", "attributes"))

    for tuned, published in PUBLISHED.items():
        if kind(run) in [kind(dataclasses.asdict(REGISTRY[name]())) for name in (tuned, published)]:
            return tuned, published
    return None
