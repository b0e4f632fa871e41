# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv/ first.

PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)
BIN := .venv/bin
SETUP := .venv/.set-up
SIZES ?= 100000 1000000
ROUNDS ?= 3
# Where an image forbids to keep bytecode, each process compiles all of Dagster once more, for six seconds.
unexport PYTHONDONTWRITEBYTECODE
# What asks something else of each version of DuckDB: transactions, JSON, views, and one import from end to end.
OLDEST_TESTS := $(addprefix spotify_assets_tests/,lakehouse/test_transactions.py lakehouse/test_reading.py exports/test_history.py \
	test_fresh_home.py::test_an_export_can_be_imported_with_a_path_in_the_launchpad_s_config \
	test_my_views.py::test_the_star_keeps_every_play_whatever_the_names_are_and_however_little_the_catalogue_knows \
	test_my_views.py::test_all_views_are_there_as_soon_as_any_table_of_theirs_is)
# A module belongs to one process, in the order of the tests' own list: it would make its homes in each.
SPREAD := -n 5 --dist loadscope --no-loadscope-reorder
HOME_OF_DEMO := $(or $(SPOTIFY_ASSETS_HOME),$(CURDIR)/.demo)

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test long oldest spark soak bench bench-10m docs format

help: ## Show what can be made.
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

setup: $(SETUP) ## Make .venv/ with the spotify-assets command.

$(SETUP): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "spotify_assets needs Python 3.11 or newer: install it (python.org, or your package manager), or name it: make setup PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[notebook,development]'
	@touch $@

demo: $(SETUP) ## Invent a listener, take in exports and live data of theirs, show the result (home: .demo/).
	@$(BIN)/spotify-assets demo --home "$(HOME_OF_DEMO)"

ui: $(SETUP) ## Open the Dagster UI on the demo, beside a demo Spotify that goes on.
	@$(BIN)/spotify-assets ui --demo --home "$(HOME_OF_DEMO)"

test: $(SETUP) ## Check style, import contract, docs and behaviour.
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest $(SPREAD) -m "not soak and not spark and not long" -q

long: $(SETUP) ## Check what takes some minutes more: storms, kills, nights, whole homes.
	$(BIN)/python -m pytest $(SPREAD) -m long -q

oldest: $(SETUP) ## Check the lakehouse with the oldest DuckDB that is supported.
	@test -d .venv/oldest || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --target .venv/oldest 'duckdb==1.5.6'
	PYTHONPATH=.venv/oldest $(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not soak and not browser" $(OLDEST_TESTS)

spark: $(SETUP) ## Check that Spark reads the mirror and computes the same days (Java 17 or newer; CI does).
	@test -d .venv/spark || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --target .venv/spark pyspark
	PYTHONPATH=.venv/spark $(BIN)/python -m pytest -q -m spark spotify_assets_tests/spark

soak: $(SETUP) ## Minutes of kills, readers and broken exports.
	$(BIN)/python -m pytest -m soak -q -s

bench: $(SETUP) ## Measure against the floor, the mirror, live data: make bench SIZES="100000 1000000" ROUNDS=3.
	$(BIN)/python -m benchmarks.run $(SIZES) --rounds $(ROUNDS) $(PARTS)

bench-10m: $(SETUP) ## The same with ten million plays, once: 30 GB of disk.
	$(BIN)/python -m benchmarks.run 10000000 --rounds 1

docs: $(SETUP) ## Write docs/data-dictionary.md from the schemas, docs/performance.md from what was measured.
	$(BIN)/python -m spotify_assets.data_dictionary > docs/data-dictionary.md
	$(BIN)/python -m benchmarks.document

format: $(SETUP) ## Format the code.
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
