-- Questions that a run's trajectories answer. In DuckDB, opened in the project's root:
--   SET VARIABLE run = 'webq';
--   .read analysis/queries.sql
-- or any of them by itself, after the view.
SET VARIABLE run = coalesce(getvariable('run'), 'default');

CREATE OR REPLACE TEMP VIEW trajectories AS
SELECT *, CAST(regexp_extract(filename, 'iter_(\d+)/trajectories', 1) AS INTEGER) AS iteration
FROM read_parquet('runs/' || getvariable('run') || '/iter_*/trajectories/*.parquet', filename = true);

-- How right are initial answers (t1) and corrections (t2), in per cent?
SELECT split, iteration, count(DISTINCT question_id) AS questions, count(*) AS pairs,
       100 * avg(CAST(transition IN ('c->i', 'c->c') AS INTEGER)) AS t1,
       100 * avg(CAST(transition IN ('i->c', 'c->c') AS INTEGER)) AS t2,
       t2 - t1 AS delta
FROM trajectories GROUP BY ALL ORDER BY split, iteration;

-- What do corrections fix and break?
PIVOT (SELECT split, iteration, transition FROM trajectories) ON transition IN ('i->c', 'c->i', 'c->c', 'i->i')
USING count(*) ORDER BY split, iteration;

-- Which training pairs are kept, and why not the others?
SELECT iteration, kept, reason, count(*) AS pairs
FROM trajectories WHERE split = 'train' GROUP BY ALL ORDER BY iteration, kept DESC, pairs DESC;

-- How often does a correction repeat its initial answer, and how often is it truncated?
SELECT split, iteration,
       100 * avg(CAST(is_copy AS INTEGER)) AS copies,
       100 * avg(CAST(correction_finish_reason = 'length' AS INTEGER)) AS truncated
FROM trajectories GROUP BY ALL ORDER BY split, iteration;

-- Which test questions did training teach, and which did it lose? Share of right corrections at the first and the last.
WITH by_question AS (
    SELECT question_id, any_value(question) AS question, any_value(answers) AS answers,
           avg(CAST(transition LIKE '%->c' AS INTEGER)) FILTER (iteration = 0) AS first,
           avg(CAST(transition LIKE '%->c' AS INTEGER))
               FILTER (iteration = (SELECT max(iteration) FROM trajectories)) AS last
    FROM trajectories WHERE split = 'test' GROUP BY question_id
)
SELECT * FROM by_question WHERE first <> last ORDER BY last - first DESC, question_id;

-- One question at every checkpoint: here, the first one that a correction fixed.
SELECT iteration, init_index, corr_index, initial_answer, correction, transition, kept
FROM trajectories
WHERE question_id = (SELECT min(question_id) FROM trajectories WHERE transition = 'i->c')
ORDER BY iteration, init_index, corr_index;

-- Which training questions does M_0 answer correctly now and then, in 10 to 70 % of its initial answers?
SELECT question_id, any_value(question) AS question, avg(CAST(transition LIKE 'c->%' AS INTEGER)) AS pass_rate
FROM trajectories WHERE split = 'train' AND iteration = 0
GROUP BY question_id HAVING pass_rate BETWEEN 0.1 AND 0.7 ORDER BY pass_rate DESC, question_id;

-- Does the model collapse into few answers? The most frequent corrections on test.
SELECT iteration, correction, count(*) AS pairs, count(DISTINCT question_id) AS questions
FROM trajectories WHERE split = 'test' GROUP BY iteration, correction
QUALIFY row_number() OVER (PARTITION BY iteration ORDER BY pairs DESC, correction) <= 20
ORDER BY iteration, pairs DESC, correction;

-- Where do two rewards disagree: the gold somewhere in the text, but not in the final answer?
SELECT iteration, split, question, answers, correction
FROM trajectories WHERE correction_in_accuracy > correction_reward ORDER BY iteration, split, question_id;

-- Which flags call for a second look at a score?
SELECT split, iteration, flag, count(*) AS pairs
FROM (SELECT split, iteration, unnest(flags) AS flag FROM trajectories) GROUP BY ALL ORDER BY split, iteration, pairs DESC;

-- What does a right correction cost, in generated tokens?
SELECT split, iteration, sum(correction_num_tokens) AS tokens,
       count(*) FILTER (transition LIKE '%->c') AS right_corrections, tokens / nullif(right_corrections, 0) AS tokens_each
FROM trajectories GROUP BY ALL ORDER BY split, iteration;

-- How many rows is the next checkpoint trained on, how many of them say the same?
SELECT CAST(regexp_extract(filename, 'iter_(\d+)/sft', 1) AS INTEGER) AS iteration, count(*) AS rows,
       count(DISTINCT (question_id, completion[1].content)) AS distinct_rows,
       sum(list_sum(completion_mask)) AS trained_tokens
FROM read_parquet('runs/' || getvariable('run') || '/iter_*/sft/*.parquet', filename = true)
GROUP BY ALL ORDER BY iteration;
