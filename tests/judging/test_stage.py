"""The judging stage between generation and filtering: what is asked once, by whom, and what becomes of it."""

import json
import math
import shutil
import subprocess
import sys
import time
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.agreement import compare
from judging.__main__ import Asking, costs_of
from judging.configured import Settings
from judging.judge import Answer
from judging.table import Table
from judging.texts import Text
from store.run import Run
from tests.conftest import COLOURS, Workspace, make_workspace
from tests.judging.server import fails, says, serving, slowly

ENDPOINT = [
    "reward=judge",
    "judge=endpoint",
    "judge.model=m",
    "judge.endpoint=http://127.0.0.1:9/v1",
    "judge.timeout=20",
]


def verdict(about: str, times: int) -> tuple:
    """Yes for an answer that has a color in it."""
    return says("Yes" if any(color in answer_in(about) for color in COLOURS) else "No")


def answer_in(about: str) -> str:
    return about.partition("Answer to judge: ")[2].partition("\nDoes the answer")[0]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory, tiny_model):
    workspace = make_workspace(tmp_path_factory.mktemp("judging"), tiny_model)
    workspace.start("demo", *ENDPOINT)
    workspace.stage("generation", "run=demo", "iteration=0")
    return workspace


@pytest.fixture
def place(sampled, tmp_path) -> Workspace:
    shutil.copytree(sampled.folder, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path, sampled.settings)


def judge(place: Workspace, server, run="demo", check=True, **more) -> subprocess.CompletedProcess:
    settings = [f"judge.{name}={value}" for name, value in more.items()]
    place.stage("conf", f"run={run}", f"judge.endpoint={server.url}", *settings)
    return place.stage("judging", f"run={run}", "iteration=0", check=check)


def rows(folder) -> list[dict]:
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet"))).to_pylist()


def metrics(place: Workspace, run: str) -> dict:
    return json.loads((place.run(run) / "iter_00" / "metrics.json").read_text())


def test_every_text_is_asked_about_once_and_filtering_reads_what_was_said(place):
    done = place.stage("filtering", "run=demo", "iteration=0", check=False)
    assert done.returncode == 5 and "run `python -m judging run=demo iteration=0` first" in done.stderr
    with serving(verdict) as server:
        judge(place, server)
    place.stage("filtering", "run=demo", "iteration=0")
    folder = place.run("demo") / "iter_00"
    judged, pairs = rows(folder / "judgements"), rows(folder / "trajectories")
    scores = {(row["question_id"], row["text"]): row["score"] for row in judged}
    assert len(server.asked) == len(set(server.asked)) == len(judged) == len(scores)
    for pair in pairs:
        for side, text in (("initial", pair["initial_answer"]), ("correction", pair["correction"])):
            assert pair[f"{side}_reward"] == pair[f"{side}_judge"] == scores[pair["question_id"], text]
            assert scores[pair["question_id"], text] == any(color in text for color in COLOURS)
    assert set(scores.values()) == {0, 1}
    golds = {(pair["question"], pair["answers"][0]) for pair in pairs}
    assert all(f"Question: {question}\nRight answers:\n{gold}\n" in "".join(server.asked) for question, gold in golds)
    cost = metrics(place, "demo")["judge"]
    assert (cost["num_asked"], cost["prompt_tokens"], cost["completion_tokens"]) == (
        len(judged),
        10 * len(judged),
        len(judged),
    )
    assert cost["seconds"] > 0 and cost["num_unjudged"] == 0
    assert "complete" in place.stage("judging", "run=demo", "iteration=0").stdout
    place.stage("analysis.verify", "run=demo")
    assert not (folder / "judgements" / ".parts").exists()

    [by_match, _] = compare(Run("demo", place.folder / "runs").iteration(0), num_shown=2)
    matches = {
        (pair["question_id"], pair[text]): (scores[pair["question_id"], pair[text]] == 1, pair[reward] == 1)
        for pair in pairs
        for text, reward in (("initial_answer", "initial_answer_match"), ("correction", "correction_answer_match"))
    }
    assert by_match.reward == "answer_match" and by_match.counts == Counter(matches.values())
    for who, kind in (("judge", (True, False)), ("reward", (False, True))):
        shown = [matches[row["question_id"], row["text"]] for row in by_match.differing[who]]
        assert shown == [kind] * min(2, by_match.counts[kind])
    said = place.stage("analysis.agreement", "run=demo", "reward=answer_match").stdout
    assert f"{by_match.agreement.kappa:.2f}" in said and "right by the judge alone" in said
    place.stage("analysis.report", "run=demo")
    assert 'data-figure="judge.answer_match.kappa"' in (place.run("demo") / "report.html").read_text()


def test_what_is_killed_goes_on_and_asks_about_nothing_twice(place):
    running = 2
    with serving(lambda about, times: slowly(0.05, verdict(about, times))) as server:
        place.stage("conf", "run=demo", f"judge.endpoint={server.url}", f"judge.concurrency={running}")
        command, deadline = [sys.executable, "-m", "judging", "run=demo", "iteration=0"], time.monotonic() + 120
        for target in (15, 30, 70):
            with subprocess.Popen(command, cwd=place.folder, env=place.environment) as process:
                while len(server.asked) < target:
                    assert process.poll() is None and time.monotonic() < deadline
                    time.sleep(0.01)
                process.kill()
        place.stage("judging", "run=demo", "iteration=0")
    again = len(server.asked) - len(set(server.asked))
    assert again <= 3 * (running + 1)  # those that ran when it was killed, and one whose answer was being written
    judged = rows(place.run("demo") / "iter_00" / "judgements")
    assert len(judged) == len(set(server.asked)) == len({row["key"] for row in judged})


def test_neither_a_rescoring_nor_a_run_that_is_given_the_table_asks_again(place):
    with serving(verdict) as server:
        judge(place, server)
        num_asked = len(server.asked)
        place.stage("conf", "run=again", "like=demo", "samples_of=demo", "filter.margin=0.1")
        place.stage("judging", "run=again", "iteration=0")
        place.stage("filtering", "run=again", "iteration=0")
        assert len(server.asked) == num_asked
        assert metrics(place, "again")["judge"] == {
            "num_texts": num_asked, "num_asked": 0, "num_unjudged": 0, "prompt_tokens": 0, "completion_tokens": 0,
            "seconds": 0,
        }  # fmt: skip
        place.start("other", *ENDPOINT, "judge.table=runs/demo", "seed=0", f"judge.endpoint={server.url}")
        place.stage("generation", "run=other", "iteration=0")
        place.stage("judging", "run=other", "iteration=0")
        assert len(server.asked) == num_asked
        folder = place.run("other") / "iter_00" / "judgements"
        folder.rename(folder.with_name("old"))  # as a message of filtering says
        place.stage("conf", "run=other", f"judge.table={folder.with_name('old')}")
        shutil.move(place.run("demo"), place.folder / "elsewhere")
        place.stage("judging", "run=other", "iteration=0")
        assert len(server.asked) == num_asked
        place.stage("conf", "run=other", "judge.table=runs/other/iter_00/stats")
        folder.rename(folder.with_name("older"))
        done = place.stage("judging", "run=other", "iteration=0", check=False)
        assert done.returncode == 2 and "is no folder with judgements" in done.stderr
        shutil.move(place.folder / "elsewhere", place.run("demo"))
        place.stage("conf", "run=blind", "like=demo", "samples_of=demo", "judge/prompt=reference_free")
        judge(place, server, run="blind")
        assert len(server.asked) == 2 * num_asked  # another judge
        assert not [about for about in server.asked[num_asked:] if "Right answers" in about]


def test_a_budget_of_tokens_stops_the_stage_and_may_be_raised(place):
    with serving(verdict) as server:
        done = judge(place, server, check=False, max_total_tokens=220, concurrency=1)
        assert done.returncode == 2 and "judge.max_total_tokens=220 are used up: 220 tokens were taken" in done.stderr
        assert len(server.asked) == 20
        assert place.stage("judging", "run=demo", "iteration=0", check=False).returncode == 2
        assert len(server.asked) == 20
        judge(place, server, max_total_tokens=1_000_000)
    assert len(server.asked) == len(set(server.asked)) > 20


def test_what_cannot_be_judged_is_listed_and_bounded(place):
    def behavior(about: str, times: int) -> tuple:
        return fails(400, "too long") if "b" in answer_in(about) else verdict(about, times)

    with serving(behavior) as server:
        assert " without a judgement" in judge(place, server).stdout
    judged = rows(place.run("demo") / "iter_00" / "judgements")
    lost = [row for row in judged if math.isnan(row["score"])]
    assert lost and {row["said"] for row in lost} == {"BadRequestError: Error code: 400 - too long"}
    done = place.stage("filtering", "run=demo", "iteration=0", check=False)
    assert done.returncode == 4 and "at most 1% may be left out" in done.stderr
    place.stage("conf", "run=demo", "reward.max_unscorable=1")
    place.stage("filtering", "run=demo", "iteration=0")
    folder = place.run("demo") / "iter_00" / "trajectories"
    quarantined = [json.loads(line) for line in (folder / "_quarantined.jsonl").read_text().splitlines()]
    assert {row["code"] for row in quarantined} == {"UNSCORABLE"}
    assert not {(row["question_id"], row["text"]) for row in lost} & {
        (pair["question_id"], pair[side]) for pair in rows(folder) for side in ("initial_answer", "correction")
    }
    assert metrics(place, "demo")["judge"]["num_unjudged"] == len(lost)


def test_a_judge_that_can_judge_nothing_is_told_after_a_few_texts(place):
    with serving(lambda about, times: fails(400, "unknown argument logprobs")) as server:
        done = judge(place, server, check=False)
    assert done.returncode == 4 and "could be judged, e.g. 'BadRequestError: " in done.stderr
    assert 20 <= len(server.asked) <= 28 and not list((place.run("demo") / "iter_00" / "judgements").glob("*.parquet"))


class Killed(Exception):
    """The end of a stage."""


class Picky:
    """A judge of the first and the last of 50 texts alone, killed when it is asked about one more than `most`."""

    def __init__(self, most: int) -> None:
        self.most = most

    def ask(self, prompts):
        for number, (key, _) in enumerate(prompts):
            if number == self.most:
                raise Killed
            yield [Answer(key, 1.0 if key in ("0", "49") else math.nan, "", 3, 1)]


def test_texts_that_could_not_be_judged_do_not_end_a_stage_that_goes_on(tmp_path):
    texts = [Text(str(number), "q", "?", f"text {number}", ["gold"]) for number in range(50)]
    header = {"stage": "judgements", "iteration": 0, "judge": "j", "fingerprint": "f"}

    def ask(judge: Picky) -> Table:
        settings = Settings({}, {}, [], None, lambda: judge, [tmp_path], None)
        table = Table(tmp_path / "judgements", header, "demo/iter_00", settings.roots)
        Asking(Run("demo"), settings, table).ask("shard.parquet", [text for text in texts if not table.has(text.key)])
        return table

    with pytest.raises(Killed):
        ask(Picky(most=45))
    table = ask(Picky(most=50))
    assert [key for key in table.known if table.has(key)] == ["0", "49"]
    assert table.spent("demo") == 50 * 4
    table.publish("train", "shard.parquet", texts)
    table = ask(Picky(most=0))  # it said no judgement of a whole shard, and is not asked again
    assert all(table.has(text.key) for text in texts)
    table.publish("test", "other.parquet", texts[:10])  # of a question that two splits share
    costs = costs_of(table, ["shard.parquet", "other.parquet"])
    assert (costs["num_texts"], costs["num_asked"], costs["num_unjudged"], costs["prompt_tokens"]) == (50, 50, 48, 150)


def test_the_key_is_kept_nowhere(place, monkeypatch):
    place.environment = place.environment | {"OPENAI_API_KEY": "sk-never-on-disk"}
    with serving(verdict) as server:
        judge(place, server)
    assert server.keys == {"Bearer sk-never-on-disk"}
    files = [path.read_bytes() for path in place.run("demo").rglob("*") if path.is_file()]
    assert len(files) > 10 and not [content for content in files if b"sk-never-on-disk" in content]


def test_judges_stand_beside_other_rewards_in_a_weighted_mean(place):
    place.stage(
        "conf",
        "run=mean",
        "like=demo",
        "samples_of=demo",
        "reward=weighted",
        "reward.weights={answer_match:1,judge:0.2}",
    )
    with serving(verdict) as server:
        judge(place, server, run="mean")
    place.stage("filtering.golds", "run=mean")
    place.stage("filtering", "run=mean", "iteration=0")
    for pair in rows(place.run("mean") / "iter_00" / "trajectories"):
        mean = (pair["correction_answer_match"] + 0.2 * pair["correction_judge"]) / 1.2
        assert pair["correction_reward"] == pytest.approx(mean)


@pytest.mark.parametrize("engine", ["fake", "transformers"])
def test_a_model_judges_by_its_first_token(place, tiny_model, engine):
    sizes = ["data.train=3", "data.validation=1", "data.test=1", "sampling.num_corrections=1", "sampling.max_tokens=4"]
    place.start("local", f"engine={engine}", "reward=judge", "judge=model", "judge/prompt=reference_free", *sizes)
    place.stage("generation", "run=local", "iteration=0")
    place.stage("judging", "run=local", "iteration=0")
    place.stage("filtering", "run=local", "iteration=0")
    judged = rows(place.run("local") / "iter_00" / "judgements")
    assert all(0 <= row["score"] <= 1 and row["completion_tokens"] == 1 for row in judged)
    assert all((row["score"] >= 0.5) == (row["said"] == "Yes") for row in judged)
    if engine == "transformers":
        questions = {row["question_id"]: row["question"] for row in rows(place.run("local") / "questions")}
        for row in judged:
            assert row["score"] == pytest.approx(
                probability(tiny_model, questions[row["question_id"]], row["text"]), abs=1e-2
            )


def probability(folder, question: str, text: str) -> float:
    """P(Yes) / (P(Yes) + P(No)) of the first token, by transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = (
        f"Question: {question}\nAnswer to judge: {text}\nIs the answer to judge right? Say Yes or No, and nothing else."
    )
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=False
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with torch.inference_mode():
        logits = model(**tokenizer(prompt, return_tensors="pt", add_special_tokens=False)).logits[0, -1].float()
    yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))
    return logits[[yes, no]].softmax(-1)[0].item()
