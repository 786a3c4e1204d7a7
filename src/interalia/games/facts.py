"""What a report says of a game, as plain values, which a run keeps: so a page needs neither torch nor the class."""

from __future__ import annotations

import contextlib
from typing import Any

from interalia import registry
from interalia.adversarial import divergences
from interalia.adversarial.divergences import Divergence
from interalia.conditionals import CONDITIONALS, Conditional
from interalia.errors import UserError
from interalia.games.capabilities import WORDS, Adversarial, Infers
from interalia.games.game import Game
from interalia.games.needs import critics

# what a critic's scores are on, by what it sees first and whether it sees more
JUDGED = {
    ("x", False): "data and samples",
    ("z", False): "random and on inferred latents",
    ("x", True): "pairs (data, inferred z) and pairs (sample, random z)",
}


def facts(
    game: Game | type[Game], encoder: type[Conditional] | None = None, divergence: Divergence | None = None
) -> dict[str, Any]:
    """What there is to say of a game or of a kind of games.

    Arguments:
        game: the game, or its class where there is no more.
        encoder, divergence: of a class, what its games have; a game has its own.

    Returns:
        title, teaches, judged, reading: texts, see `Game`; each may be empty.
        critic: whether there is a critic.
        can: the names of its capabilities, such as "Infers".
        log_odds: whether a critic's score is a log-odds.

    Example:
        >>> from interalia.conditionals import Dirac
        >>> from interalia.games import ALI, VAE
        >>> facts(ALI, Dirac)["title"], facts(VAE)["critic"], "HasLikelihood" in facts(VAE)["can"]
        ('BiGAN (adversarially learned inference with a deterministic encoder)', False, True)
    """
    kind = game if isinstance(game, type) else type(game)
    if isinstance(game, Game):
        encoder = type(game.encoder) if isinstance(game, Infers) else None
        divergence = game.divergence if isinstance(game, Adversarial) else None
    judges = critics(kind)
    # of a subclass that says nothing of itself nothing is said: what holds of its base need not hold of it
    said = {key: str(vars(kind).get(key, "")) for key in ("title", "teaches", "judged", "reading")}
    if said["title"]:
        said["title"] = kind.titled(encoder)
    seen = [space.name for space in judges[0].sees if space.name != "y"] if len(judges) == 1 else [""]
    ratio = any(not critic.adversary for critic in judges)  # whose scores are not meant to be near each other
    return {
        **said,
        "judged": said["judged"] or (JUDGED.get((seen[0], len(seen) > 1), "") if said["title"] and not ratio else ""),
        "critic": bool(judges) or "critic" in kind.players,
        "can": [one.__name__ for one in WORDS if (issubclass(kind, one) if game is kind else isinstance(game, one))],
        "log_odds": divergence is not None and divergence.log_odds,
    }


def by_name(game: str, encoder: str, divergence: str) -> dict[str, Any] | None:
    """What there is to say of the games of that name, with these parts; None where there are none."""
    from interalia.games import REGISTRY

    cost = None
    with contextlib.suppress(UserError):  # it is not here, or was given from Python
        cost = registry.make(divergence, divergences.REGISTRY, "divergence")
    return facts(REGISTRY[game], CONDITIONALS.get(encoder), cost) if game in REGISTRY else None
