# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reading a run
#
# Everything that a run sampled, scored and trained on is Parquet. This notebook opens it with DuckDB, pandas and
# datasets, draws the learning curve with its intervals, and reads what was corrected. Its outputs are of the run
# `demo`, SmolLM2-135M on two made-up skills, which the first of these commands makes, in minutes on two CPU cores:
#
#     make demo
#     .venv/bin/python examples/reading_a_run.py       # the cells of this notebook as a program; it needs no Jupyter
#
# Any other finished run does as well: change `RUN`.

# %%
import sys
from pathlib import Path

import datasets
import duckdb
import matplotlib.pyplot as plt

sys.path.extend([".", ".."])  # the project's root: where a program starts, and above the folder where Jupyter does
from analysis.stats.intervals import estimate_ratios

RUN = next(path for path in (Path("runs/demo"), Path("../runs/demo")) if path.exists())

# %% [markdown]
# ## DuckDB: what a run holds
#
# A row of `trajectories` is a pair: an initial answer y1 and its correction y2, with the question, the gold answers and
# both rewards. `transition` says what the correction did: i->c is from incorrect to correct.

# %%
trajectories = duckdb.sql(f"""
    select *, regexp_extract(filename, 'iter_(\\d+)', 1)::int as iteration
    from read_parquet('{RUN}/iter_*/trajectories/*.parquet', filename = true)
""")
print(
    duckdb.sql("""
    select split, iteration, count(distinct question_id) as questions, count(*) as pairs,
           round(100 * avg((transition in ('c->i', 'c->c'))::int), 1) as t1,
           round(100 * avg((transition in ('i->c', 'c->c'))::int), 1) as t2
    from trajectories group by all order by split, iteration
""")
)

# %% [markdown]
# ## pandas: the learning curve
#
# Pairs of one question resemble each other, so an interval is over questions: sums of each question first, then the
# project's bootstrap of them, the one of `make report`.

# %%
test = trajectories.filter("split = 'test'").df()
test["t1"] = test.transition.isin(["c->i", "c->c"])
test["t2"] = test.transition.isin(["i->c", "c->c"])
curves = {"t1": [], "t2": []}
iterations = sorted(test.iteration.unique())
for iteration in iterations:
    of_question = test[test.iteration == iteration].groupby("question_id")[["t1", "t2"]].agg(["sum", "count"])
    correct, pairs = (of_question.xs(column, axis=1, level=1).to_numpy() for column in ("sum", "count"))
    for name, estimate in zip(curves, estimate_ratios(correct, pairs), strict=True):
        curves[name].append(estimate)
        print(f"M_{iteration}  {name}  {estimate.with_interval(unit=' %')}")

# %%
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
looks = {"t1": ("initial answers, t1", "#0072b2", "o", -0.03), "t2": ("corrections, t2", "#d55e00", "s", 0.03)}
for name, (label, color, marker, shift) in looks.items():
    places = [iteration + shift for iteration in iterations]
    axes.vlines(places, [100 * e.low for e in curves[name]], [100 * e.high for e in curves[name]], color=color)
    axes.plot(places, [100 * e.value for e in curves[name]], color=color, marker=marker, label=label)
axes.set(xlabel="iteration n of checkpoint M_n", ylabel="correct test answers (%)", xticks=iterations, ylim=(0, 100))
axes.legend(loc="lower right", frameon=False)
plt.show()

# %% [markdown]
# ## Reading corrections
#
# Figures say how many, not what. A few test answers that the last checkpoint's corrections made correct:

# %%
fixed = duckdb.sql("""
    select question, answers, initial_answer, correction
    from trajectories where transition = 'i->c' and split = 'test'
        and iteration = (select max(iteration) from trajectories)
    order by question_id limit 5
""")
for question, answers, initial_answer, correction in fixed.fetchall():
    print(f"{question}   [{' | '.join(answers)}]\n    y1: {initial_answer}\n    y2: {correction}\n")

# %% [markdown]
# ## datasets: what the next checkpoint was trained on
#
# `sft` holds the pairs that were kept, as token ids. They are what was sampled, so nothing is tokenized twice, and
# `completion_mask` marks what the loss is of.

# %%
datasets.disable_progress_bars()
rows = datasets.load_dataset("parquet", data_files=f"{RUN}/iter_00/sft/*.parquet", split="train")
print(rows)
for message in rows[0]["prompt"] + rows[0]["completion"]:
    print(f"{message['role']}: {message['content']}")
print(f"{len(rows[0]['input_ids'])} tokens, of which {sum(rows[0]['completion_mask'])} are trained")
