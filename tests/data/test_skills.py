import json
import re
from collections import Counter
from typing import get_args

import pytest

from conf.schema import Skill
from data.overlap import find_overlap
from data.rows import read_questions
from data.skills import KINDS, NUMBERS, ORDINALS, make
from data.splits import position
from store.errors import ConfigError
from store.fingerprint import digest_bytes
from store.schemas import SPLITS

ALL = list(KINDS)
SETTINGS = ["data=skills", "prompt=skills", "reward=exact_match"]


def rows(kinds=ALL, difficulty=1, questions=700, seed=0) -> list[dict]:
    return [json.loads(line) for line in make(kinds, difficulty, questions, seed).splitlines()]


def solved(kind: str, text: str) -> str:
    """The answer to a question by its words alone, computed in another way than the generator's."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    listed = text.partition(": ")[2].rstrip("?").split()
    if kind == "compare":
        return str(sorted(numbers)[-1])
    if kind == "successor":
        return str(numbers[0] + 1)
    if kind == "repeated":
        return str(Counter(listed)[re.search('"(.*)"', text)[1]])
    if kind == "alphabet":
        return sorted(re.search(r", (\w+) or (\w+)\?", text).groups())[0]
    if kind == "reverse":
        return "".join(reversed(str(numbers[0])))
    if kind == "position":
        return listed[ORDINALS.index(text.split()[3])]
    return str(sum(numbers))


@pytest.mark.parametrize("difficulty", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ALL)
def test_every_gold_is_right(kind, difficulty):
    found = rows([kind], difficulty, 150)
    assert {row["id"].partition("-")[0] for row in found} == {kind}
    for row in found:
        assert solved(kind, row["question"]) == row["answers"][0]
        if len(row["answers"]) > 1:
            assert NUMBERS.index(row["answers"][1]) == int(row["answers"][0])


def test_the_kinds_are_those_of_the_settings():
    assert get_args(Skill) == tuple(KINDS)


def test_the_same_settings_give_the_same_bytes_for_ever():
    content = make(ALL, 1, 700, 0)
    assert content == make(ALL, 1, 700, 0) != make(ALL, 1, 700, 1)
    assert digest_bytes(content)[:16] == "f0e029601e7fdbb6", "raise skills.NAME: runs are pinned by it"


def test_more_questions_begin_with_the_same():
    assert {row["id"] for row in rows(questions=300)} < {row["id"] for row in rows(questions=700)}


def test_harder_questions_are_longer():
    for kind in ("compare", "successor", "repeated", "reverse", "position", "addition"):
        lengths = [sum(len(row["question"]) for row in rows([kind], d, 150)) for d in (1, 3, 5)]
        assert lengths == sorted(set(lengths)), kind


def test_no_content_is_asked_twice_whichever_way_round():
    contents = Counter()
    for row in rows(["compare", "alphabet", "addition"], questions=1500):
        words = re.findall(r"\d+|\w+(?= or )|(?<= or )\w+", row["question"])
        contents[row["id"].partition("-")[0], tuple(sorted(words))] += 1
    assert max(contents.values()) == 1


def test_kinds_share_evenly_and_one_that_is_used_up_leaves_its_share_to_the_others():
    counts = Counter(row["id"].partition("-")[0] for row in rows(questions=4000))
    assert sum(counts.values()) == 4000 and counts["addition"] < 170
    assert max(counts.values()) - min(counts[kind] for kind in ALL if kind != "addition") < 10


def test_too_many_questions_of_too_few_kinds_are_refused_with_a_way_on():
    with pytest.raises(ConfigError, match=r"data\.skills\.difficulty=1: raise it") as error:
        make(["addition"], 1, 1000, 0)
    assert "1000" in str(error.value)


def test_held_out_questions_are_no_near_duplicates_for_their_template():
    columns = {"id": ["id"], "question": ["question"], "answers": ["answers"]}
    for kinds in (["compare", "successor"], ALL):
        read = read_questions("skills", make(kinds, 2, 1600, 0), "jsonl", "skills", columns, None).questions
        train = [q for q in read if position(q.key, 0) < 0.5]
        found = find_overlap(train, [q for q in read if position(q.key, 0) >= 0.5])
        near = [key for key, matches in found.items() if "near_duplicate" in matches]
        assert len(near) < 0.08 * (len(read) - len(train)), "nearly all were, when templates counted"


def test_a_whole_iteration_on_made_questions(workspace):
    model = next(setting for setting in workspace.settings if setting.startswith("model.path"))
    engine = ["device=cpu", "engine=fake", model, "sampling.num_initial=2", "sampling.num_corrections=2"]
    size = ["data.train=30", "data.validation=10", "data.test=10", "data.skills.questions=300"]
    free = ["strategy.filter=none", "training.stop_check.num_prompts=0"]
    workspace.iterate("skills", 1, *SETTINGS, *engine, *size, *free)
    manifest = json.loads((workspace.run("skills") / "questions" / "_MANIFEST.json").read_text())
    assert manifest["extra"]["sources"]["questions"]["generator"] == "skills-1"
    metrics = json.loads((workspace.run("skills") / "iter_01" / "metrics.json").read_text())
    assert set(metrics["splits"]) == set(SPLITS)
    again = workspace.stage("data", "run=skills").stdout
    assert "skills-1" in again and "no row" in again
    refused = workspace.stage("conf", "run=skills", "data.skills.difficulty=2", check=False)
    assert refused.returncode == 3 and "data.skills.difficulty" in refused.stderr


WRONG = ["data.skills.kinds=[compare,sums]", "data.skills.difficulty=6", "data.skills.kinds=[]"]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_skills_are_refused(workspace, wrong):
    done = workspace.quick_stage("conf", "run=skills", *SETTINGS, wrong, check=False)
    assert done.returncode == 2 and wrong.partition("=")[0] in done.stderr
