# make demo    install what is needed, run the quickstart in a real kernel, show its progress and the final graph
# make lab     the same install, then JupyterLab on the notebooks
# make check   ruff, mypy, layers, the committed bundle
# make test    check, then all tests (real kernels, a real browser, the notebooks)
# make conformance   which items of the conformance list have a test, which have none, and why
# make reliability   the scorecard: kills, races, storms, hundreds of times, and docs/reliability.md (15 minutes)
# make reliability-nightly   the same with the counts of a night
# make screenshots   the pictures of docs/gallery.md, in a real JupyterLab
# make bench   what a task costs, beside the raw limits of this machine
# make bench-page   what it costs to watch 10,000 task runs, and how long a click takes, in a real JupyterLab

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# Hundreds of short processes are started from here: where none may keep what it compiled, each takes seconds to begin.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo lab check test conformance reliability reliability-nightly screenshots bench bench-page js lock clean

demo: $(READY)
	@$(BIN)/python -m tidegate_kernel.demo notebooks/quickstart.ipynb

lab: $(READY)
	@cd notebooks && ../$(BIN)/jupyter lab quickstart.ipynb

check: $(READY)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: check js
	@scripts/chromium.sh
	$(BIN)/python scripts/kernels.py
	$(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 0
	$(BIN)/python -m pytest --nbval notebooks

conformance: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m conformance.report

# The report is made even if a test failed, and says so; it fails then too.
# Tests with a limit of time have the machine to themselves.
reliability: AT_ONCE := -n 2 --dist loadfile
reliability reliability-nightly: export TIDEGATE_RELIABILITY = $(if $(filter %-nightly,$@),nightly,ci)
reliability reliability-nightly: $(READY)
	$(BIN)/python scripts/kernels.py
	@rm -f .work/reliability/$$TIDEGATE_RELIABILITY.json
	-$(BIN)/python -m pytest -m "scorecard and not timed" $(AT_ONCE) --timeout 0 -o faulthandler_timeout=0
	-$(BIN)/python -m pytest -m "scorecard and timed" --timeout 0 -o faulthandler_timeout=0
	@PYTHONPATH=tests $(BIN)/python -m reliability.report

screenshots: $(READY)
	@scripts/chromium.sh
	@PYTHONPATH=tests $(BIN)/python -m scripts.screenshots

bench: $(READY)
	@$(BIN)/python -m benchmarks.bench

bench-page: $(READY)
	@scripts/chromium.sh
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.page

# The bundle is committed, so that installing needs no Node; here it is built again and must come out the same.
js: $(READY)
	@scripts/bundle.sh

lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url \
		--upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .kernels .work widgets/js/node_modules

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tidegate needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 " )'
	@echo "Installing into .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --requirement requirements.lock || $(BIN)/python -m pip install --quiet --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --editable . || $(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@
