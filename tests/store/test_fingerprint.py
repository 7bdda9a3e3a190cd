import pytest

from store.errors import FingerprintMismatch
from store.fingerprint import difference, digest, refuse_difference, stable_hash


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_a_difference_names_every_key_old_and_new():
    old = {"sampling": {"temperature": 0.7, "top_p": 1.0}, "seed": 0}
    new = {"sampling": {"temperature": 0.6, "top_p": 1.0}, "extra": None}
    assert difference(old, new) == [
        "extra: '(absent)' -> None",
        "sampling.temperature: 0.7 -> 0.6",
        "seed: 0 -> '(absent)'",
    ]
    with pytest.raises(FingerprintMismatch, match=r"sampling\.temperature: 0\.7 -> 0\.6"):
        refuse_difference("x", old, new, "do this")
    refuse_difference("x", old, old, "do this")


def test_seeds_are_distinct_positive_and_fit_a_signed_column():
    seeds = {
        stable_hash(0, "nq", f"q{i}", "correction", 0, j, k) for i in range(50) for j in range(5) for k in range(5)
    }
    assert len(seeds) == 1250
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_depends_on_each_part_of_what_the_sample_is():
    key = (0, "nq", "q1", "correction", 1, 0, 0)
    others = {stable_hash(*key[:i], "other", *key[i + 1 :]) for i in range(len(key))}
    assert stable_hash(*key) not in others
    assert len(others) == len(key)
