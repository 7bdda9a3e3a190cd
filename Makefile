# Self-Taught Self-Correction: Make gives the order, Hydra the settings, and every stage decides by digests whether it
# has work, so a finished one costs well under a second and no clock has a say.

N        ?= 1
PATIENCE ?= 1
MAX      ?= 10
RUN      ?= default
STRATEGY ?=
N_INIT   ?=
N_CORR   ?=
MODEL    ?=
DATA     ?=
ARGS     ?=
ACCELERATE ?=
PROCESSES ?=
TO       ?=
SWEEP    ?=
LIKE     ?=
FROM     ?=
ITERATION ?=
WATCH    ?=
comma    := ,

# A signal to make reaches what it runs: exec puts the command in the place of the recipe's shell, which would pass none
# on. Where make is killed and can pass none on either, the kernel sends its recipes SIGTERM.
PYTHON := exec .venv/bin/python
ifeq ($(shell setpriv --pdeathsig TERM echo works 2>/dev/null),works)
SHELL       := setpriv
.SHELLFLAGS := --pdeathsig TERM /bin/sh -c
endif

export PYTHONUNBUFFERED := 1
unexport PYTHONPATH PYTHONSAFEPATH PYTHONHOME
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

matches = $(shell printf '%s' '$(subst ','\'',$(1))' | tr '\n' ' ' | grep -Exc '$(2)')
ifneq ($(call matches,$(N),[0-9]|[1-9][0-9]|auto),1)
$(error N=$(N) is not a number of iterations from 0 to 99, nor auto)
endif
AUTO := $(filter auto,$(N))
LAST := $(if $(AUTO),0,$(N))
ifdef AUTO
ifneq ($(call matches,$(PATIENCE),[1-9][0-9]?),1)
$(error PATIENCE=$(PATIENCE) is not a number of iterations from 1 to 99)
endif
ifneq ($(call matches,$(MAX),[0-9]|[1-9][0-9]),1)
$(error MAX=$(MAX) is not a number of iterations from 0 to 99)
endif
endif
define check_name
ifneq ($$(call matches,$$($(1)),[A-Za-z0-9][A-Za-z0-9._-]{0$$(comma)99}),1)
$$(error $(1)=$$($(1)) cannot be a run's name: use 1 to 100 of A-Z a-z 0-9 . _ - and begin with a letter or digit)
endif
endef
$(foreach name,RUN $(if $(LIKE),LIKE) $(if $(FROM)$(filter rescore,$(MAKECMDGOALS)),FROM),$(eval $(call check_name,$(name))))

# A new run's device is what the environment was installed for, on this machine; an old run, and one like it, keeps its own.
DEVICE = $(if $(LIKE)$(wildcard runs/$(RUN)/config.yaml)$(filter device=%,$(ARGS)),,device=$$(.venv/bin/python \
	-m store.machine $$(cat .venv/.accelerator)))
SETTINGS = $(strip $(DEVICE) $(LIKE:%=like=%) $(STRATEGY:%=strategy=%) $(N_INIT:%=sampling.num_initial=%) \
	$(N_CORR:%=sampling.num_corrections=%) $(MODEL:%=model=%) $(DATA:%=data=%) $(ARGS))

##@ The loop
.PHONY: iterate
iterate: $(if $(AUTO),as-far-as-it-helps,filter-$(LAST))  ## run iterations up to N: checkpoints M_0 .. M_N, all they generated, their metrics
	$(PYTHON) -m analysis run=$(RUN)
	$(if $(AUTO),$(PATIENT))

# N=auto: iteration 0, then up to the one that analysis.patience names, until that is the one that was made. Each time
# is a make in the place of the recipe's shell, to which what was made is old (-o). It is not called $(MAKE) here: that
# make -n would run, without end.
PATIENT = $(PYTHON) -m analysis.patience run=$(RUN) patience=$(PATIENCE) max=$(MAX)
AGAIN = $(MAKE) --no-print-directory
.PHONY: as-far-as-it-helps
as-far-as-it-helps: filter-$(LAST)
	@last=$$($(PATIENT) print=last) && if [ $$last != $(LAST) ]; then exec $(AGAIN) -o filter-$(LAST) $@ N=$$last; fi

.PHONY: questions base
questions: setup
	$(PYTHON) -m conf run=$(RUN) $(SETTINGS)
	$(PYTHON) -m data run=$(RUN)
	$(PYTHON) -m filtering.golds run=$(RUN)   # can the reward use the gold answers?
base: questions
	$(PYTHON) -m training.base_model run=$(RUN)
	$(PYTHON) -m analysis.ahead run=$(RUN) last=$(if $(AUTO),auto,$(LAST))

# y1: initial answers, y2: corrections, D_n: the pairs of iter_n that the strategy's filter keeps.
.PHONY: generate-0
generate-0: base
	$(PYTHON) -m generation run=$(RUN) iteration=0   # y1 ~ M_0(x), y2 ~ M_0(x, y1)

# The settings of a run have this section where a reward of its asks a judge.
judge = if grep -q '^judge:' runs/$(RUN)/config.yaml; then $(PYTHON) -m judging run=$(RUN) iteration=$(1); fi
# The run's experiment tracker, nothing where it has none; one that fails stops no run, and is told all the next time.
TRACKER = $(filter-out none,$(shell sed -n '/^tracking:/,/kind:/s/ *kind: //p' runs/$(RUN)/_execution.yaml 2>/dev/null))

define filter_rules
.PHONY: filter-$(1)
filter-$(1): generate-$(1)
	@$$(call judge,$(1))
	$$(PYTHON) -m filtering run=$$(RUN) iteration=$(1)   # D_$(1)
	$$(if $$(TRACKER),-$$(PYTHON) -m analysis.track run=$$(RUN))
endef

# With ACCELERATE, the name of a file in training/accelerate, training runs in PROCESSES of them, one per GPU, which
# meet on a port that is free.
LAUNCH_PRESETS := $(patsubst training/accelerate/%.yaml,%,$(wildcard training/accelerate/*.yaml))
ifneq ($(ACCELERATE)$(PROCESSES),)
ifeq ($(filter $(LAUNCH_PRESETS),$(ACCELERATE)),)
$(error ACCELERATE=$(ACCELERATE) is not a file of training/accelerate; PROCESSES= needs one of: $(LAUNCH_PRESETS))
endif
ifneq ($(call matches,$(PROCESSES),[1-9][0-9]{0$(comma)3}),1)
$(error PROCESSES=$(PROCESSES) is not a number of processes, and ACCELERATE=$(ACCELERATE) needs it: one per GPU, e.g. PROCESSES=2)
endif
endif
TRAIN = .venv/bin/python$(if $(ACCELERATE), -m accelerate.commands.launch --config_file training/accelerate/$(ACCELERATE).yaml \
	--num_processes $(PROCESSES) --main_process_port 0) -m training

define train_rules
.PHONY: train-$(1) generate-$(1)
train-$(1): filter-$(2)
	exec $$(TRAIN) run=$$(RUN) iteration=$(1)   # M_$(1) from D_$(2)
generate-$(1): train-$(1)
	$$(PYTHON) -m generation run=$$(RUN) iteration=$(1)   # y1 ~ M_$(1)(x), y2 ~ M_$(1)(x, y1)
endef

$(foreach n,$(shell seq 0 $(LAST)),$(eval $(call filter_rules,$(n))))
$(foreach n,$(shell seq 1 $(LAST)),$(eval $(call train_rules,$(n),$(shell expr $(n) - 1))))

# A skill that a small model can learn from its own answers: two of the kinds of DATA=skills, few questions, two epochs.
DEMO := data.skills.kinds=[compare,successor] data.train=80 data.validation=40 \
	data.test=300 sampling.num_initial=3 sampling.num_corrections=3 sampling.max_tokens=8 filter.drop_duplicates=true \
	training.num_epochs=2 training.args.learning_rate=2e-5
.PHONY: demo
demo: setup  ## a loop that visibly learns, on two skills of DATA=skills: the run demo, its curve in its report.html
	$(MAKE) iterate N=2 RUN=demo DATA=skills STRATEGY=ENE ARGS="$(DEMO)"
	$(PYTHON) -m analysis.report run=demo

.PHONY: sweep
sweep: setup  ## a grid of runs from one pool of samples: ARGS="name=grid sampling.num_initial=1,3 strategy=EIF,FIE"
	$(PYTHON) sweep.py --multirun $(ARGS)

# The recipes of docs/recipes.md over seeds, and what their tokens buy otherwise; the table of docs/results.md.
STUDY ?= study_skills
.PHONY: study
study: setup  ## recipes over three seeds against STaR and self-consistency: hours; STUDY= a grid over recipe and seed
	$(PYTHON) sweep.py --multirun sweep=$(STUDY) name=$(STUDY) $(ARGS)
	for run in $$(.venv/bin/python -m analysis.study sweep=$(STUDY) print=paper); do \
		$(MAKE) baseline-star RUN=$$run ARGS= || exit; done
	for each in $$(.venv/bin/python -m analysis.study sweep=$(STUDY) print=m0); do \
		$(MAKE) baseline-m0 RUN=$${each%:*} ARGS=launcher.pool=$${each#*:} || exit; done
	$(PYTHON) -m analysis.study sweep=$(STUDY)
	$(PYTHON) -m analysis.report.differences study=$(STUDY)

.PHONY: start
start: setup  ## can M_0 start, and with which N_INIT and N_CORR? From RUN's samples of M_0, without training
	$(PYTHON) -m analysis.start run=$(RUN)

# The iterations that FROM has samples of.
SAMPLED = $(patsubst runs/$(FROM)/iter_%/corrections/_MANIFEST.json,%,$(sort $(wildcard runs/$(FROM)/iter_*/corrections/_MANIFEST.json)))

define filter_again
@$(call judge,$(n))
$(PYTHON) -m filtering run=$(RUN) iteration=$(n)

endef
.PHONY: rescore
rescore: LIKE = $(FROM)
rescore: setup  ## rescore and filter the samples of FROM, into RUN, with the reward and filter in ARGS
	$(PYTHON) -m conf run=$(RUN) $(SETTINGS) samples_of=$(FROM)
	$(PYTHON) -m filtering.golds run=$(RUN)
	$(foreach n,$(or $(SAMPLED),0),$(filter_again))
	-$(PYTHON) -m analysis.track run=$(RUN)
	$(PYTHON) -m analysis run=$(RUN)

.PHONY: preferences
preferences: setup  ## pairs for DPO and texts for KTO from RUN's samples: of all its iterations, or of ITERATION=
	$(PYTHON) -m filtering.preferences run=$(RUN) $(ITERATION:%=iteration=%) $(ARGS)

# Every M_n of RUN on the questions of DATA, or asked or scored otherwise: an ordinary run with the models of RUN. One
# training question, since nothing is trained; M_n gives its own first answers, whatever the strategy.
ON ?= $(DATA)
ifeq ($(filter transfer,$(MAKECMDGOALS))$(ON),transfer)
$(error make transfer asks other questions: give DATA=, a preset of conf/data, or ON=, a word for what ARGS changes)
endif
$(if $(filter transfer,$(MAKECMDGOALS)),$(eval $(call check_name,ON)))
TRANSFER := launcher.pool=null eval.initialization=evolving data.train=1 $(if $(DATA),pass_rate=any)
.PHONY: transfer
transfer: setup  ## ask every checkpoint of RUN the held-out questions of DATA, without training: makes RUN-on-DATA, or -on-ON
	last=$$($(PYTHON) -m analysis.transfer run=$(RUN) print=last) && \
	exec $(MAKE) iterate N=$$last RUN=$(RUN)-on-$(ON) LIKE=$(RUN) \
		ARGS='models_of=$(RUN) $(TRANSFER) $(subst $$,$$$$,$(subst ','\'',$(ARGS)))'
	@$(PYTHON) -m analysis.report.differences transfer=$(RUN)

.PHONY: explain
explain: setup  ## facts or reasoning: t1 from M_0 to M_n by what of a question RUN was trained on
	@$(PYTHON) -m analysis.explain run=$(RUN)
	@$(PYTHON) -m analysis.report.differences explain=$(RUN)

.PHONY: efficiency
efficiency: setup  ## how few tokens do it: N_INIT x N_CORR of the pool RUN, what the runs on it gained, and a picture
	$(PYTHON) -m analysis.efficiency run=$(RUN)
	$(PYTHON) -m analysis.report.efficiency run=$(RUN)

BASELINES := m0 star gold
.PHONY: baselines $(BASELINES:%=baseline-%)
baselines: $(BASELINES:%=baseline-%)  ## what the tokens of RUN buy without self-correction: makes RUN-m0, RUN-star, RUN-gold
	$(PYTHON) -m analysis.baselines run=$(RUN)
$(BASELINES:%=baseline-%): baseline-%: setup
	settings=$$($(PYTHON) -m analysis.baselines run=$(RUN) settings=$*) && \
	exec $(MAKE) iterate N=$(if $(filter m0,$*),0,1) RUN=$(RUN)-$* LIKE=$(RUN) ARGS="$$settings $(ARGS)"

##@ Looking at a run
named = $(if $(filter command line environment,$(origin RUN)),run=$(RUN))

.PHONY: report
report: setup  ## runs/<run>/report.html: curves, transitions, costs, trajectories; one file. SWEEP=<name>: of a sweep
	$(PYTHON) -m analysis.report $(if $(SWEEP),sweep=$(SWEEP),run=$(RUN))
	$(if $(SWEEP),,$(if $(TRACKER),-$(PYTHON) -m analysis.track run=$(RUN)))

.PHONY: inspect
inspect: setup  ## trajectories in the terminal; ARGS="split=test transition=i-c words=..." narrows, format=csv exports
	@$(PYTHON) -m analysis.inspection run=$(RUN) $(ARGS)

.PHONY: cards
cards: setup  ## dataset and model cards (README.md) for everything a run holds
	$(PYTHON) -m analysis.cards run=$(RUN)

.PHONY: status
status: setup  ## the runs there are; with RUN= the stages of one, their rows and parents; WATCH=1 while it runs
	@$(PYTHON) -m analysis.status $(named) $(WATCH:%=watch=%)

.PHONY: verify
verify: setup  ## hash a run again and walk its lineage
	$(PYTHON) -m analysis.verify run=$(RUN)

.PHONY: upload
upload: setup  ## copy what RUN has finished to TO=, a URL of fsspec: s3://bucket/folder, hf://datasets/me/demo, file:///mnt
	$(PYTHON) -m analysis.upload run=$(RUN) to=$(TO)

##@ Development
.PHONY: setup
setup:  ## make .venv from the pinned lock; nothing to do when it is there
	@requirements/install.sh

.PHONY: doctor
doctor:  ## what this machine has, what is missing and what to do about it, and what a new run would choose
	@requirements/install.sh doctor

.PHONY: ray
ray:  ## add Ray to .venv, for launcher=ray and make test: 80 MB
	requirements/install.sh ray

# What needs no model, no subprocess and no browser: seconds each.
SLOW := $(addprefix %/test_,$(addsuffix .py,ahead baselines curves efficiency explain rescored status study track upload))
FAST := tests/analysis/stats $(filter-out $(SLOW),$(wildcard tests/analysis/test_*.py)) tests/conf/test_identity.py \
	tests/conf/test_question_files.py tests/conf/test_strategy.py tests/filtering/test_filters.py \
	tests/filtering/test_recipes.py tests/store tests/test_rooms.py

.PHONY: check
check: setup  ## format, lint, types and the fast tests: under a minute
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(PYTHON) -m pytest -q --numprocesses 2 --dist loadfile $(FAST)

.PHONY: test
test: ray  ## lint, unit tests, and the loop end to end on a real model
	.venv/bin/ruff check .
	$(PYTHON) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 40

.PHONY: test-all
test-all: ray  ## make test and what is only worth a night
	.venv/bin/ruff check .
	$(PYTHON) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "nightly or not nightly"

.PHONY: faults
faults: setup  ## kill, starve, race and damage every stage, count what came of it, print the table: some 15 minutes
	$(PYTHON) -m faults

.PHONY: bench
bench: setup  ## how fast the stages are, beside plain ways to do the same; ARGS="size=gpu generation" narrows: an hour
	$(PYTHON) -m benchmarks $(ARGS)

.PHONY: help
help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' Makefile
	@printf '%s\n' '' \
	'Variables' \
	'  N=1          iterations            RUN=default   the run: results go to runs/<run>' \
	'  N=auto       until validation t2 has not risen for PATIENCE=1 iterations, at most MAX=10' \
	'  STRATEGY=    EIE EIF ENE ENF FIE FIF FNE FNF: initialization, filter, fine-tuning' \
	'  N_INIT=      initial answers per question       N_CORR=      corrections per initial answer' \
	'  MODEL=       a preset of conf/model             DATA=        a preset of conf/data' \
	'  ON=          what transfer calls its run, RUN-on-ON, instead of DATA' \
	'  LIKE=        a run whose settings the new run starts from   FROM= the run that is rescored' \
	'  ACCELERATE=  ddp or fsdp2: training on PROCESSES= GPUs           TO=   where make upload copies a run to' \
	'  ARGS=        any further settings, e.g. ARGS="sampling.temperature=0.6 data.train=500"' \
	'  ACCELERATOR= cpu or cuda, instead of what nvidia-smi says' \
	'' 'Example: make iterate N=3 RUN=webq STRATEGY=ENF DATA=web_questions N_INIT=5'
