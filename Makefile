# Every target works on a fresh machine with Python 3.11: the first thing each does is set up what it needs.
PYTHON ?= python3
# In an environment of its own: an externally managed Python (PEP 668) takes no package, and a uv on PATH may be too old.
UV := .venv-uv/bin/uv
RUN := $(UV) run --frozen
DOCS ?= examples/documents
PROTOS := $(shell find protos -name '*.proto' | sort)

.PHONY: setup run up test check mutants bench bench-large proto lint kills races clean

setup: .venv/.ready

.venv/.ready: pyproject.toml uv.lock | $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

$(UV):
	@$(PYTHON) -m venv --clear .venv-uv || { echo "$(PYTHON) makes no environment: install its venv (Debian: python3-venv)"; exit 1; }
	@echo '*' > .venv-uv/.gitignore
	@.venv-uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.13,<1'

run: setup ## Plays the whole story on real documents: DOCS=folder for your own
	@$(RUN) accord demo --documents "$(DOCS)"

up: setup ## Starts the three services and keeps them running, with the lines to call them
	@$(RUN) accord up

test: setup ## Runs every test
	@$(RUN) pytest -n 2

check: setup lint test ## What CI runs

lint: setup
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy services tests bench examples
	$(RUN) lint-imports
	$(RUN) buf lint
	$(RUN) buf format -d --exit-code
	@tag=$$(git tag --list 'v*' --sort=-v:refname | head -n 1); \
	  if [ -n "$$tag" ]; then $(RUN) buf breaking --against ".git#tag=$$tag"; else echo "no release yet: nothing to break"; fi
	@$(MAKE) --no-print-directory proto
	@git diff --exit-code --stat -- services/gen && test -z "$$(git status --porcelain -- services/gen)" \
	  || { echo "services/gen differs from protos/: commit what make proto wrote"; exit 1; }

mutants: setup ## Whether the unit tests notice each small change of the decision's rules: at least 95 %
	@$(RUN) python -m tests.mutants

proto: setup ## Regenerates services/gen from protos/
	@rm -rf services/gen && mkdir -p services/gen
	@$(RUN) python -m grpc_tools.protoc -I protos --python_out=services/gen --grpc_python_out=services/gen \
	  --mypy_out=quiet:services/gen --mypy_grpc_out=quiet:services/gen $(PROTOS)

bench: setup ## Ratios against a bare echo and a bare relay, and proofs at a million entries; table and var/bench/results.json
	@$(RUN) python -m bench

bench-large: setup ## A ledger of a million consents against one of 10,000; table and var/bench/large.json; the first run takes 14 min
	@$(RUN) python -m bench --large

kills: setup ## Kills a writing ledger a thousand times: nothing acknowledged may be lost
	@PYTHONPATH=.:services/gen $(RUN) python -m tests.durability.kills --kills 1000

races: setup ## A hundred thousand interleavings on each database: no authorisation may follow a withdrawal
	@PYTHONPATH=.:services/gen $(RUN) python -m tests.races --interleavings 100000

clean:
	rm -rf .venv .venv-uv var dist
