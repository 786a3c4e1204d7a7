"""The fields of `interalia.Run` as keyword arguments, for type checkers and editors."""

from __future__ import annotations

from typing import TypedDict


class Fields(TypedDict, total=False):
    """The fields of a run by name, all optional; `interalia.Run` describes them.

    A field that names a component, such as `divergence`, may be a text or an object. The fields `data`, `game` and
    `encoder` are missing here, since `interalia.train` has arguments of these names that take objects too.
    """

    name: str
    data_b: str | None
    data_dir: str | None
    split: str | None
    fold: int | None
    group: str | None
    layout: str
    scale: str
    impute: str
    image_size: int | None
    gray: bool | None
    crop: str
    flip: bool
    binarize: str
    condition_on: str | None
    num_labeled: int | None
    pretrained_generator: str | None
    init_from: str | None
    networks: object
    latent_dim: int
    prior: object
    spectral_norm: str | None
    divergence: object
    penalty: object
    instance_noise: object
    augment: object
    pack: int
    skip_critic_above: float
    dynamics: object
    optimizer: object
    lr: float | dict[str, float] | None
    schedule: object
    steps: int | None
    epochs: float | None
    batch_size: int
    grad_accumulation: int
    grad_clip: float
    weight_average: object
    recalibrate_bn: int
    precision: str
    device: str
    shards: int
    compile: bool
    seed: int
    monitor: str
    early_stopping: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    keep_checkpoints: int


class AllFields(Fields, total=False):
    """All fields of a run by name, all optional; `interalia.Run` describes them."""

    data: str
    game: object
    encoder: object
