"""Every checkpoint of a run on other questions: an ordinary run with another's models, killed and resumed as any."""

import json
import signal
import subprocess
from pathlib import Path

import duckdb
import pytest

from analysis.transfer import read_transfer, transfers
from store.checkpoints import locate
from store.run import Run
from store.shards import read_manifest
from tests.conftest import Workspace
from tests.generation.background import kill, processes, until

LEARNED = ("strategy=FNF", "strategy.filter=none", "training.stop_check.num_prompts=0", "sampling.max_tokens=5")
MADE = "home-on-other"


def make(place: Workspace, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    done = subprocess.run(["make", *arguments], cwd=place.folder, env=place.environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def asked(project) -> tuple[str, ...]:
    """What `make transfer` is given: questions in a file of another name and order, scored by another reward."""
    rows = [json.loads(line) for line in (project.folder / "questions.jsonl").read_text().splitlines()]
    other = project.folder / "other.jsonl"
    other.write_text("".join(json.dumps(row | {"question": f"Say: {row['question']}"}) + "\n" for row in rows))
    settings = f"data.files.questions.path={other} data.validation=4 data.test=9 reward=in_accuracy"
    return "transfer", "RUN=home", "DATA=local", "ON=other", f"ARGS={settings} data.source=other"


@pytest.fixture(scope="module")
def home(project) -> Run:
    project.iterate("home", 2, *LEARNED, "data.train=12")
    return Run("home", project.folder / "runs")


@pytest.fixture(scope="module")
def moved(project, home, asked) -> Run:
    """The transfer, whose make was killed in M_1's generation and begun again."""
    slow = f"{asked[-1]} +engine.args.step_seconds=0.1 launcher.shard_questions=1 engine.throughput.max_num_seqs=2"
    run = Run(MADE, home.root)
    command = subprocess.Popen(
        ["make", *asked[:-1], slow], cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL
    )
    until(lambda: len(list(run.iteration(1).corrections.glob("*.parquet"))) > 2, 200)
    for pid in processes(project):
        kill(pid, signal.SIGKILL)
    command.wait(60)
    assert not (run.iteration(1).corrections / "_MANIFEST.json").exists()
    make(project, *asked[:-1], slow)
    return run


def query(sql: str):
    return duckdb.sql(sql).fetchall()


def test_its_checkpoints_are_the_other_runs(home, moved):
    for n in range(3):
        (folder, record), (theirs, of_theirs) = locate(moved, n), locate(home, n)
        assert folder.resolve() == theirs.resolve()
        assert record.digest == of_theirs.digest
    assert len({locate(moved, n)[1].digest for n in range(3)}) == 3
    assert not list(moved.dir.rglob("*.safetensors"))


def test_every_model_gives_its_own_first_answers(moved):
    """As a run of fixed initialization would not."""
    for n in range(3):
        reused = read_manifest(moved.iteration(n).initial_answers).reused
        assert set(reused) == ({"train"} if n else set())
        assert len(query(f"select 1 from '{moved.iteration(n).initial_answers}/test-*.parquet'")) == 9


def test_a_copy_that_somebody_has_put_aside_is_no_transfer(tmp_path):
    for name, models_of in (("home", "null"), (f"{MADE} (copy)", "home")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"models_of: {models_of}\n")
    assert transfers(Run("home", tmp_path)) == []


def test_its_figures_are_those_of_its_trajectories(moved):
    transfer = read_transfer(moved)
    assert (transfer.models_of, transfer.source, transfer.reward) == ("home", "other", "in_accuracy")
    for row in transfer.rows:
        ((t1, t2),) = query(f"""
            select avg((initial_in_accuracy >= 0.5)::int), avg((correction_in_accuracy >= 0.5)::int)
            from '{moved.iteration(row.number).trajectories}/test-*.parquet'""")
        assert (row.figures["t1"].value, row.figures["t2"].value) == pytest.approx((t1, t2))
    assert [row.number for row in transfer.rows] == [0, 1, 2]
    assert transfer.rows[0].against_base == () and len(transfer.rows[2].against_base) == 2


def test_differences_are_paired_by_question(home, moved):
    for n, row in enumerate(read_transfer(moved).rows[1:], 1):
        first, later = (moved.iteration(m).trajectories for m in (0, n))
        ((gained, lost),) = query(f"""
            select sum((b.transition in ('i->c', 'c->c') and a.transition not in ('i->c', 'c->c'))::int),
                   sum((a.transition in ('i->c', 'c->c') and b.transition not in ('i->c', 'c->c'))::int)
            from '{first}/test-*.parquet' a join '{later}/test-*.parquet' b using (question_id)""")
        if gained == lost:
            assert row.against_base[1].startswith("no difference shown")


def test_it_stands_in_summary_report_and_card(project, home, moved):
    words = read_transfer(moved).rows[2].against_base
    for name in ("home", MADE):
        said = project.stage("analysis", f"run={name}").stdout
        assert f"What M_2 of home learned on local, in {MADE} on other: t1 {words[0]}; t2 {words[1]}" in said
        assert "; runs/home/iter_02/checkpoint, M_2, a model folder\n" in said
        assert ("goes on" in said) is (name == "home")
    project.stage("analysis.report", "run=home")
    page = (home.dir / "report.html").read_text()
    assert f"<p>{read_transfer(moved).sentence}.</p>" in page
    value = read_transfer(moved).rows[2].figures["t2"].value
    assert f'<data value="{value}" data-figure="transfer.{MADE}.2.t2">' in page
    project.stage("analysis.cards", "run=home")
    picture = (project.folder / "runs" / "_comparisons" / f"{MADE}-transfer.svg").read_text()  # by make transfer
    assert all(f">M{n}: {figure}<" in picture for n in (1, 2) for figure in ("t1", "t2"))
    assert f"(`{MADE}`): t1 " in (home.iteration(2).checkpoint / "README.md").read_text()
    assert not (moved.iteration(2).checkpoint / "README.md").exists()


def test_again_it_has_nothing_to_do_and_verifies(project, moved, asked):
    again = make(project, *asked[:3], asked[3], asked[4]).stdout
    assert again.count("training: complete") == 2 and again.count("generation: complete") == 3
    assert "every file is as it was written" in project.stage("analysis.verify", f"run={MADE}").stdout
    project.stage("analysis.report", f"run={MADE}")
    assert "M_1 is the model it was to be trained from" not in (moved.dir / "report.html").read_text()
    assert [each.run for each in transfers(moved)] == [MADE]


def test_what_it_cannot_be_used_for_is_refused(project, moved, asked):
    for command, exit_code, said in [
        (("analysis.baselines", f"run={MADE}"), 2, "has the models of home: `make baselines RUN=home`"),
        (("training", f"run={MADE}", "iteration=3"), 5, "run `python -m training run=home iteration=3` first"),
        (("training", f"run={MADE}", "iteration=0"), 2, "nothing trains M_0"),
        (("conf", "run=x", f"like={MADE}", f"models_of={MADE}"), 2, "its models are those of home, name that run"),
        (("conf", "run=x", f"like={MADE}", "model=qwen2.5-1.5b"), 3, "model.name: "),
        (("analysis.transfer", "run=lonely"), 2, "runs/lonely/config.yaml is missing"),
    ]:
        done = project.stage(*command, check=False)
        assert (done.returncode, said in done.stderr) == (exit_code, True), done.stderr
    assert "give DATA=, a preset of conf/data, or ON=" in make(project, "transfer", "RUN=home", check=False).stderr


def test_another_m_n_is_taken_again(project, home, moved, tmp_path):
    """A record that names another model, as where the other run was made again."""
    record: Path = moved.iteration(1).checkpoint / "_checkpoint.json"
    content = record.read_bytes()
    record.write_bytes((moved.iteration(2).checkpoint / "_checkpoint.json").read_bytes())
    said = project.stage("training", f"run={MADE}", "iteration=1").stdout
    assert "home has another M_1" in said
    assert record.read_bytes() == content
