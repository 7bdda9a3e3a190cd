"""Make questions of skills that a small model can learn: seeded, any number, exact golds, nothing to download.

A kind's questions are a sequence: more of them begin with the same. No two have the same content, whichever way round
they put it ("47 or 82", "82 or 47"), so splits of one file share none. The id tells the kind: `compare-0f3a...`.
"""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from store.errors import ConfigError
from store.fingerprint import digest

NAME = "skills-1"  # to be raised when the same settings would give other questions
TRIES = 200  # in a row that gave nothing new: a kind is used up
WORDS = (
    "apple", "arrow", "basket", "beach", "bird", "boat", "bottle", "bread", "bridge", "brush", "butter", "button",
    "cake", "camp", "candle", "carpet", "castle", "chair", "cheese", "cherry", "circle", "clock", "cloud", "coat",
    "coffee", "copper", "corn", "cotton", "cousin", "cow", "crown", "cup", "dance", "desert", "desk", "dinner",
    "doctor", "dog", "door", "dragon", "dream", "dress", "drum", "eagle", "earth", "egg", "engine", "evening",
    "farm", "feather", "field", "finger", "fire", "fish", "flag", "flower", "forest", "fox", "garden", "glass",
    "glove", "goat", "gold", "grape", "grass", "green", "guitar", "hammer", "hand", "harbor", "hat", "hill",
    "honey", "horse", "house", "ice", "island", "jacket", "jewel", "juice", "jungle", "kettle", "key", "king",
    "kitchen", "kite", "ladder", "lake", "lamp", "leaf", "lemon", "letter", "lion", "lock", "machine", "market",
    "meadow", "melon", "milk", "mirror", "money", "moon", "morning", "mountain", "mouse", "music", "nail",
    "needle", "nest", "night", "nose", "number", "ocean", "office", "onion", "orange", "oven", "owl", "paint",
    "paper", "parrot", "pencil", "pepper", "piano", "picture", "pillow", "planet", "plate", "pocket", "pond",
    "potato", "prince", "queen", "rabbit", "rain", "ribbon", "rice", "ring", "river", "road", "robot", "roof",
    "rope", "rose", "sailor", "salt", "sand", "school", "scissors", "sea", "shadow", "sheep", "shell", "ship",
    "shoe", "silver", "sister", "snow", "soap", "song", "soup", "spoon", "spring", "star", "stone", "storm",
    "street", "sugar", "summer", "sun", "table", "tail", "tea", "tent", "thread", "tiger", "tomato", "tower",
    "train", "tree", "turtle", "uncle", "valley", "village", "violin", "voice", "wagon", "wall", "water", "wheel",
    "whistle", "wind", "window", "winter", "wolf", "wood", "yard",
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
Made = tuple[str, list[str], Any]  # the question, its golds, and the content that no other question may have


def compare(rng: random.Random, difficulty: int) -> Made:
    low, high = 10**difficulty, 10 ** (difficulty + 1) - 1
    one, other = rng.sample(range(low, high + 1), 2)
    return f"Which number is larger, {one} or {other}?", [str(max(one, other))], sorted((one, other))


def successor(rng: random.Random, difficulty: int) -> Made:
    number = rng.randrange(1, 10 ** (difficulty + 2) - 1)
    return f"Which number comes after {number}?", [str(number + 1)], number


def repeated(rng: random.Random, difficulty: int) -> Made:
    word, *others = rng.sample(WORDS, 3)
    times = rng.randint(1, min(2 + difficulty, 10))
    words = [word] * times + rng.choices(others, k=rng.randint(1, 2 + difficulty))
    rng.shuffle(words)
    text = f'How often is the word "{word}" in this list: {" ".join(words)}?'
    return text, [str(times), NUMBERS[times]], [word, words]


def alphabet(rng: random.Random, difficulty: int) -> Made:
    one = rng.choice(WORDS)
    alike = [word for word in WORDS if word != one and word[: difficulty - 1] == one[: difficulty - 1]]
    other = rng.choice(alike or [word for word in WORDS if word != one])
    return f"Which word comes first in the alphabet, {one} or {other}?", [min(one, other)], sorted((one, other))


def reverse(rng: random.Random, difficulty: int) -> Made:
    digits = "".join(rng.choices("123456789", k=difficulty + 2))
    return f"What is {digits} with its digits in reverse?", [digits[::-1]], digits


def position(rng: random.Random, difficulty: int) -> Made:
    words = rng.sample(WORDS, min(2 + difficulty, len(ORDINALS)))
    place = rng.randrange(len(words))
    return f"What is the {ORDINALS[place]} word of this list: {' '.join(words)}?", [words[place]], [place, words]


def addition(rng: random.Random, difficulty: int) -> Made:
    addends = [rng.randint(1, 9) for _ in range(difficulty + 2)]
    return f"What is {' + '.join(map(str, addends))}?", [str(sum(addends))], sorted(addends)


KINDS: dict[str, Callable[[random.Random, int], Made]] = {
    function.__name__: function for function in (compare, successor, repeated, alphabet, reverse, position, addition)
}


def make(kinds: Sequence[str], difficulty: int, questions: int, seed: int) -> bytes:
    """Return JSON lines with id, question and answers: `questions` of them, as many of every kind as it has.

    ConfigError where the kinds have fewer at this difficulty.
    """
    sequences = {kind: _questions_of(kind, difficulty, seed) for kind in kinds}
    rows: list[dict[str, Any]] = []
    while sequences and len(rows) < questions:
        share = math.ceil((questions - len(rows)) / len(sequences))
        for kind, sequence in list(sequences.items()):
            wanted = min(share, questions - len(rows))
            found = list(islice(sequence, wanted))
            rows += found
            if len(found) < wanted:
                del sequences[kind]
    if len(rows) < questions:
        raise ConfigError(
            f"data.skills.questions={questions}: {', '.join(kinds)} have {len(rows):,} different questions at "
            f"data.skills.difficulty={difficulty}: raise it, ask for fewer, or give more data.skills.kinds"
        )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def kind_of(question_id: str) -> str | None:
    """Return the kind of a question, by its id; None where it is none of these."""
    kind, _, key = question_id.rpartition("-")
    return kind if kind in KINDS and len(key) == 16 else None


def _questions_of(kind: str, difficulty: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a kind's questions, no content twice, until new ones are hard to find."""
    rng = random.Random(f"{NAME} {kind} {difficulty} {seed}")  # a text: hashed by sha512, the same everywhere
    seen: set[str] = set()
    failed = 0
    while failed < TRIES:
        question, answers, content = KINDS[kind](rng, difficulty)
        key = digest([kind, content])[:16]
        failed = failed + 1 if key in seen else 0
        if not failed:
            seen.add(key)
            yield {"id": f"{kind}-{key}", "question": question, "answers": answers}
