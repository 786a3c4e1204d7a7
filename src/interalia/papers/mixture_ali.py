"""The grid of 25 and the ring of 8 Gaussians: the ways to infer z, by what they generate and by what they infer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from interalia.adversarial import divergences
from interalia.papers.experiment import Experiment, Job, Setting, Values, trained
from interalia.papers.mixture import COLUMNS, EPOCHS, PACGAN
from interalia.papers.mixture_gan import DATA
from interalia.runs import Run, recipes

STEPS, LONG = 10_000, 60_000
QUICK_STEPS = 40
COUNT, WIDTH = 2000, 0.25  # of the MMD: draws, and the kernel's width, narrow enough to see holes that moments do not
RATE = "adam(lr=0.001, beta1=0.5, beta2=0.999)"
PENALTY = "r1r2(gamma=1.0, final=0.001)"  # strong, so that no mode is lost while pairs are found; then weak
ALONE = {"penalty": "none", "optimiser": RATE}  # of games without a critic
GAN = "GAN"
LONGER = ("ALI", "ALICE, pearson")  # ALI itself, and with a round trip mixture-gan's best divergence
# the members: a row's name -> fields of its run in our setting
MEMBERS: dict[str, dict[str, str]] = {
    "ALI": {},
    "BiGAN": {"encoder": "dirac"},
    "ALICE": {"game": "alice(cycle=1.0)"},
    "adversarial ALICE": {"game": "alice-adversarial", "networks": "alice-toy(width=128)"},
    **{
        f"ALI, {name}": {"divergence": name}
        for name, member in divergences.REGISTRY.items()
        if isinstance(member, type) and issubclass(member, divergences.FDivergence) and name != "gan"
    },
    "ALI, relativistic": {"divergence": "relativistic"},
    "ALICE, pearson": {"game": "alice(cycle=1.0)", "divergence": "pearson"},
    GAN: {"game": "gan"},
    "latent regressor of that GAN": {"game": "latent-regressor", **ALONE},
    "ALI after that GAN": {"game": "posthoc-ali"},
    "VAE": {"game": "vae(sigma=0.05)", **ALONE},
}


def ours(data: str, member: str) -> Run:
    """Our setting, the same for every member with a critic."""
    name = f"{member.lower().replace(', ', '-').replace(' ', '-')}-{data}"
    run = recipes.ali_grid25(
        name=name,
        data=data,
        networks="ali-mixture(width=128, critic_width=128, pieces=2)",
        encoder="gaussian",
        penalty=PENALTY,
        optimiser="adam(lr=0.001, beta1=0.5, beta2=0.99)",
        schedule="linear(start=0.5, final=0.0)",
        ema=0.999,
        population=200,
        steps=STEPS,
        evaluate_every=0,
        checkpoint_every=5000,
    )
    return run.replace(**MEMBERS[member])


def jobs(setting: Setting) -> Iterator[Job]:
    """Seed by seed: the published ALI, and every member at our setting, on both mixtures."""
    for seed in range(setting.seeds):
        for short, data in DATA.items():
            if setting.quick and short != "grid":
                continue
            published = recipes.ali_grid25(
                name=f"ali-{data}-pacgan", data=data, evaluate_every=0, checkpoint_every=5000, steps=EPOCHS * 1000
            )
            runs = {f"{short}: ALI, published setting": published}
            runs |= {f"{short}: {member}": ours(data, member) for member in MEMBERS}
            if not setting.quick and (setting.steps or LONG) >= LONG:
                for member in LONGER:
                    run = ours(data, member)
                    runs[f"{short}: {member}, {LONG:,} steps"] = run.replace(name=f"long-{run.name}", steps=LONG)
            for row, run in runs.items():
                run = cut(run.replace(seed=seed), setting)
                source = cut(ours(data, GAN).replace(seed=seed), setting)
                yield Job(row, seed, partial(work, run, source, setting), run.steps or 0)


def cut(run: Run, setting: Setting) -> Run:
    longest = setting.steps or (QUICK_STEPS if setting.quick else run.steps)
    return run.replace(steps=min(run.steps or 0, longest or 0))


def work(run: Run, source: Run, setting: Setting) -> Values:
    """Trains one run, after the GAN that it infers for where it needs one, and measures what it generates and infers."""
    from interalia import tasks
    from interalia.data.store import as_tensor
    from interalia.games.capabilities import Infers
    from interalia.metrics.coverage import mixture_coverage
    from interalia.metrics.distances import maximum_mean_discrepancy
    from interalia.metrics.inference import latent_reconstruction, posterior_moments
    from interalia.reports import plots

    if run.game.startswith(("latent-regressor", "posthoc")):
        gan, _ = trained(source, setting)
        assert gan.folder is not None
        run = run.replace(generator=str(gan.folder.path))
    done, dataset = trained(run, setting)
    game, mixture = done.game, dataset.mixture
    assert mixture is not None
    samples = tasks.generate(game, 2500, seed=run.seed, how="sample")
    modes = mixture_coverage(samples, mixture)
    found = {"modes": float(modes.modes), "high_quality": 100 * modes.high_quality, "reverse_kl": modes.reverse_kl}
    picture = setting.folder.parent / "pictures" / f"{run.name}-seed-{run.seed}.png"
    if not isinstance(game, Infers):
        plots.plane(as_tensor(dataset.test.x[:2500]).numpy(), samples.numpy(), picture, means=mixture.means)
        return found
    x = as_tensor(dataset.test.x)
    x_hat = tasks.reconstruct(game, x, run.seed)
    z_hat = tasks.encode(game, x, run.seed, how="sample")
    z = tasks.latents(game, len(x), run.seed)
    back = tasks.encode(game, tasks.decode(game, z, run.seed, how="sample"), run.seed + 1)
    plots.plane(
        x[:2500].numpy(),
        samples.numpy(),
        picture,
        means=mixture.means,
        latents=z_hat[:2500].numpy(),
        reconstructions=x_hat[:2500].numpy(),
    )
    return {
        **found,
        "mse": float((x - x_hat).square().mean()),
        "posterior": posterior_moments(z_hat, 0.0, 1.0).kl,
        "mmd": maximum_mean_discrepancy(z_hat[:COUNT], tasks.latents(game, COUNT, run.seed + 1), WIDTH),
        "back": latent_reconstruction(z, back),
    }


MIXTURE_ALI = Experiment(
    name="mixture-ali",
    about=(
        "ALI, BiGAN, ALICE and ALI under every f-divergence, two encoders for a trained GAN, and a VAE, "
        "on a grid of 25 and a "
        "ring of 8 Gaussians."
    ),
    jobs=jobs,
    columns={
        **COLUMNS,
        "modes": "modes of 25 or 8 ↑",
        "mse": "squared error of held-out reconstructions, a coordinate ↓",
        "posterior": "KL of q(z)'s moments to the prior, nats ↓",
        "mmd": "MMD^2 of q(z) and the prior ↓",
        "back": "error of z found again in G(z) ↓",
    },
    paper={
        "grid: ALI, published setting": {
            PACGAN: {
                "modes": "24.1 ± 0.4",
                "high_quality": "95.7 ± 0.6",
                "reverse_kl": "0.14 ± 0.03",
                "seeds": "10",
                "steps": "400,000",
            }
        },
        "ring: ALI, published setting": {
            PACGAN: {
                "modes": "6.6 ± 0.3",
                "high_quality": "97.6 ± 0.4",
                "reverse_kl": "0.36 ± 0.04",
                "seeds": "10",
                "steps": "400,000",
            }
        },
    },
    protocol=(
        "PacGAN's counting for all rows, see mixture-gan. 'Published setting': PacGAN's 400 epochs of "
        "ALI's own toy, implicit "
        "encoder, Adam 1e-4, beta1 0.8. The other rows: a setting of our own, one for all members with a critic and both "
        "mixtures: the same networks at width 128 with maxout 2 (adversarial ALICE: the toy's of "
        "ALICE), a Gaussian encoder, R1 "
        "+ R2 on the critic falling from 1 to 0.001, Adam 1e-3, the rate falling to 0 over the second half, averaged "
        "weights, batch norm's statistics "
        f"estimated anew over 200 batches, {STEPS:,} steps of 100, two members also at "
        f"{LONG:,}. The latent regressor and 'ALI after that GAN' infer for the row "
        "GAN's decoder, so their samples are its. The regressor and the VAE take Adam (0.5, 0.999), the "
        "others (0.5, 0.99). VAE: Gaussian likelihood of standard deviation 0.05, the grid's. "
        "Samples, those that z is found again in too, are draws of p(x | z). Held out: "
        "10,000 points, reconstructed by the means of the conditionals. MMD^2: "
        f"unbiased, {COUNT:,} draws of each, Gaussian kernel of width {WIDTH:g}: moments do not see holes in q(z)."
    ),
    quick_protocol=f"As the full one, cut to {QUICK_STEPS} steps and one seed: it shows the table's shape and nothing else.",
    seeds=10,
    cut="no training is longer than {steps:,} steps (--steps)",
)
