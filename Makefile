# What a developer runs and what .ci/run runs are the same commands. DEFT_PYTHON skips the private environment.
COVERAGE_MINIMUM ?= 90
WORKERS ?= 2
# What says whether a run is true is covered in every branch; the records, the gate and the workspace nearly so.
TOLD_TRUE = "src/deft/run/audit*.py,src/deft/run/state.py"
GUARDED = "src/deft/run/*,src/deft/guard/*,src/deft/steps/gate.py,src/deft/workspace/*"
PYTEST = "$$(bin/deft --environment test)" -m pytest
WHOLE = -m "whole and not fault and not long"
IN_ENVIRONMENT = "$$(bin/deft --environment test)" -m

.PHONY: demo test test-all check faults whole skips benchmark environment

demo:
	bin/deft demo

# Build once, so that a failed installation stops here with its own message.
environment:
	@bin/deft --environment test >/dev/null

test: environment
	$(PYTEST) -n $(WORKERS) -m "not whole and not fault and not long" --junitxml=build/test.xml \
		--cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE_MINIMUM)
	$(IN_ENVIRONMENT) coverage report --skip-covered --fail-under=100 --include=$(TOLD_TRUE)
	$(IN_ENVIRONMENT) coverage report --skip-covered --fail-under=95 --include=$(GUARDED)

test-all: test check faults whole skips

check: environment
	$(IN_ENVIRONMENT) ruff check
	$(IN_ENVIRONMENT) ruff format --check
	$(IN_ENVIRONMENT) mypy
	PYTHONPATH=src $(IN_ENVIRONMENT) deft.cli.documentation --check

faults: environment
	$(PYTEST) -n $(WORKERS) tests/faults -m "not long" --junitxml=build/faults.xml

# Servers, browsers and clients are other people's programs: what fails with one is tried once more, and both are told.
whole: environment
	$(PYTEST) $(WHOLE) --junitxml=build/whole.xml || $(PYTEST) $(WHOLE) --last-failed --last-failed-no-failures none

skips: environment
	@"$$(bin/deft --environment test)" tests/house/allowed_skips.py build/test.xml build/faults.xml build/whole.xml

benchmark: environment # NAME=demo_seeds runs one; without a name it lists them
	PYTHONPATH=src:. $(IN_ENVIRONMENT) benchmarks $(NAME)
