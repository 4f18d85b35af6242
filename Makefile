.DEFAULT_GOAL := help
.PHONY: help install check test long rehearse kills studies trackers families browser engines format site demo bench pretrain

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: ## Install the package with all that its checks need
	pip install -c constraints.txt -e '.[test]'

check: ## Lint, types, layers and the tests that run no command and train nothing: a minute on two cores, offline
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest -q -n auto -m "not (slow or long or rehearsal or kills or engine or browser or study or families or trackers)"

test: ## All tests without a marker of their own: seven minutes on two cores
	pytest -n auto

long: ## Whole commands, the how-to pages and the site, whose parts `make test` checks (four minutes)
	pytest -n auto -m long

rehearse: ## The reproductions with every network, on stand-ins of the eleven targets (half an hour)
	pytest -m rehearsal

kills: ## A sweep killed at fifty instants, which ends each time as one that was not (half an hour)
	pytest -m kills

studies: ## Pages of the studies, built again from their rows and compared (some minutes)
	pytest -m study

trackers: ## Records of MLflow and TensorBoard read back, and online runs of W&B on a server of ours (three minutes)
	pip install -c constraints.txt -e '.[test,mlflow,tensorboard]'
	pytest -m trackers -n 0

families: ## Features and logits of a network of every family of timm, and last blocks of further ones (ten minutes)
	pytest -n auto -m families

browser: ## Pages in a real Chromium (Debian: apt-get install chromium)
	pip install -c constraints.txt -e '.[test,browser]'
	pytest -m browser -n 0

engines: ## Sweeps on a real SLURM and a real Ray, installed and started for it (ten minutes; root, Debian)
	.ci/engines

format: ## Rewrite files as the linter wants them
	ruff check --fix .
	ruff format .

site: ## The documentation as a site, in site/
	pip install -c constraints.txt -e '.[docs]'
	python -m sphinx -b html --fail-on-warning --quiet docs site

demo: ## Several datasets, perturbations and metrics in one table and one figure
	python -m transfer_exp +sweep=demo

bench: ## Our metrics against the published algorithms, and the page on speed (half an hour)
	python -m benchmarks --rows docs/results/performance.csv
	python -m benchmarks.streaming --rows docs/results/streaming.csv
	python -m benchmarks.shared_decoding --rows docs/results/shared_decoding.csv
	python -m benchmarks.load --rows docs/results/load.csv
	python -m benchmarks.scale --rows docs/results/scale.csv
	python -m benchmarks.answers --rows docs/results/answers.csv
	python -m benchmarks.page docs/results/performance.md

pretrain: ## Train the built-in pool again (fifteen minutes)
	python -m studies.builtin_pool transfer_exp/model_pool/weights
