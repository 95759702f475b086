# make run    set up, then create the data, check it, train and evaluate (ARGS="--preset dan-small")
# make setup  make the environment .venv alone
# make demo   set up, then denoise an example and say where to listen
# make test   set up, lint, and test on two cores
# make results   measure the numbers of README.md and docs/ anew (ONLY="sines any")
PYTHON ?= python3
ARGS ?=
ONLY ?=
BIN = .venv/bin

.PHONY: run setup demo test benchmark results

run: .venv/installed
	$(BIN)/python create_data.py $(ARGS)
	$(BIN)/python dataset.py $(ARGS)
	$(BIN)/python train_gan.py --restart $(ARGS)
	$(BIN)/python evaluate.py $(ARGS)

setup: .venv/installed

demo: .venv/installed
	$(BIN)/python denoise.py demo/noisy.flac -o images/demo/denoised.wav --listen images/demo/listen.html --overwrite

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check -q .
	$(BIN)/python -m pytest -q -n 2 tests
	ONEDNN_MAX_CPU_ISA=AVX512_CORE $(BIN)/python -m pytest -q tests/test_precision.py

benchmark: .venv/installed-dev
	$(BIN)/python tests/benchmark.py

results: .venv/installed-dev
	$(BIN)/python results.py $(ONLY)

.venv/installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	touch $@
