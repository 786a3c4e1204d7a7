"""Permutations that are computed index by index, for data with so many examples that a list of all indices is large."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

ENUMERATED = 10**7  # examples up to which a permutation is a list of all indices
ROUNDS = 6  # of the cipher


def permuted(positions: NDArray[np.int64], total: int, seed: int) -> NDArray[np.int64]:
    """Returns the numbers at some positions of a pseudorandom permutation of 0, ..., total - 1, int64, shape (n,).

    The permutation depends on `total` and `seed` alone, and takes no memory. It is a Feistel cipher of 2 b bits, with 4^b at
    least `total`, which is applied again to the numbers that are `total` or more until they are below it (cycle walking).

    Arguments:
        positions: positions from 0 to total - 1, shape (n,).
        total: the number of integers that are permuted, at most 2^62.
        seed: random seed, an integer.

    References:
        How to Construct Pseudorandom Permutations from Pseudorandom Functions, Michael Luby, Charles Rackoff, 1988,
        https://doi.org/10.1137/0217022
        Ciphers with Arbitrary Finite Domains, John Black, Phillip Rogaway, 2002, https://doi.org/10.1007/3-540-45760-7_9

    Example:
        >>> sorted(permuted(np.arange(6), 6, seed=1).tolist())
        [0, 1, 2, 3, 4, 5]
    """
    bits = max(1, ((total - 1).bit_length() + 1) // 2)
    digest = hashlib.shake_256(f"{seed} {total}".encode()).digest(8 * ROUNDS)
    keys = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    found = positions.astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        found[outside] = encrypted(found[outside], bits, keys)
        outside = outside[found[outside] >= np.uint64(total)]
    return found.astype(np.int64)


def encrypted(numbers: NDArray[np.uint64], bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns the images of numbers of 2 * `bits` bits under a Feistel cipher, a bijection, uint64, shape (n,).

    In each round the lower half becomes the upper one, and the upper half, after exclusive or with a function of the lower
    half and of the round's key, the lower one. The function is the finalizer of the generator SplitMix64.

    Arguments:
        numbers: shape (n,).
        bits: the bits of a half.
        keys: one number for each round.

    References:
        Fast Splittable Pseudorandom Number Generators, Guy Steele, Doug Lea, Christine Flood, 2014,
        https://doi.org/10.1145/2660193.2660195
    """
    shift, mask = np.uint64(bits), np.uint64(2**bits - 1)
    upper, lower = numbers >> shift, numbers & mask
    for key in keys:
        mixed = (lower + key) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        upper, lower = lower, upper ^ ((mixed ^ (mixed >> np.uint64(31))) & mask)
    return (upper << shift) | lower
