# Two commands, each complete from a bare clone: `make demo` shows it, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The build system has a warning for each editable install.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Tests in which cameras, brokers and a daemon keep time. They wait most of the time, so four run at once,
# and nothing beside them. The longest files come first in this order: one that began last would be waited for.
TIMED := tests/e2e tests/edge/delivery tests/edge/test_app.py tests/edge/test_overload.py tests/edge/test_bad_cameras.py tests/edge/video
# Tiny models that both runs of the tests use, built anew by each make test.
EXPORTS := build/test-exports

# What makes and checks images and updates (deploy/image).
UPDATE_TOOLS := dosfstools fdisk grub-common grub-efi-amd64-bin mtools openssl rauc squashfs-tools zstd

export VIDEO URL PROMPT MINUTES HOURS KILLS CONFIG

.DEFAULT_GOAL := help
.PHONY: help demo test quick footage image image-test image-smoke trust kills soak fuzz sbom deb deb-test events export-full distill-demo distill-full distill-study container-lint container-test check format clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Options of demo: VIDEO=file, URL=rtsp://..., PROMPT="a sentence"'

demo: $(VENV)/.demo ## Street footage over RTSP in, alerts over MQTT out
	@$(BIN)/edge-export default >/dev/null
	@$(BIN)/edge-export footage >/dev/null
	@set --; \
	[ -z "$$VIDEO" ] || set -- "$$@" --video "$$VIDEO"; \
	[ -z "$$PROMPT" ] || set -- "$$@" --prompt "$$PROMPT"; \
	[ -z "$$URL" ] || export EDGE_DEMO_URL="$$URL"; \
	exec $(BIN)/edge demo "$$@"

test: check ## All checks and all tests
	@$(call package,PATH="$$PATH:/usr/sbin" command -v mosquitto,mosquitto)
	@$(call package,command -v shellcheck,shellcheck)
	@$(call package,command -v systemd-analyze,systemd)
	@$(call package,dpkg --status $(UPDATE_TOOLS),$(UPDATE_TOOLS))
	@$(BIN)/edge-export default >/dev/null
	@rm -rf $(EXPORTS)
	@EDGE_EXPORTS=$(EXPORTS) $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(addprefix --ignore=,$(TIMED))
	@EDGE_EXPORTS=$(EXPORTS) $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(TIMED)

quick: $(VENV)/.test ## Lint and the tests that need no model, broker or wait: while you work
	@$(BIN)/ruff check
	@$(BIN)/python -m pytest -q --numprocesses auto --dist worksteal -m "not slow" \
		tests/edge/alerts tests/edge/config tests/edge/control tests/edge/rules tests/edge/scoring \
		tests/edge/search tests/edge/system tests/test_imports.py

image: $(VENV)/.test ## As root: the x86 image and its update, signed by keys of its own: CONFIG=site.yaml
	@$(call package,dpkg --status mmdebstrap $(UPDATE_TOOLS),mmdebstrap $(UPDATE_TOOLS))
	@$(BIN)/edge-export default >/dev/null
	@mkdir -p build/image
	@[ -d build/image/keys ] || $(BIN)/edge-flash keys build/image/keys --name "$$(hostname)"
	@set --; for deb in $$($(BIN)/edge-flash deb --out build/deb); do set -- "$$@" --deb "$$deb"; done; \
	$(BIN)/edge-flash rootfs "$$@" --keyring build/image/keys/keyring.pem
	@set --; [ -z "$$CONFIG" ] || set -- --config "$$CONFIG"; \
	$(BIN)/edge-flash image "$$@" --out build/image/nvr.img.zst
	@$(BIN)/edge-flash bundle --keys build/image/keys --out build/image/nvr.raucb
	@$(BIN)/edge-flash verify build/image/nvr.raucb --keyring build/image/keys/keyring.pem

image-test: image ## The image in an emulator: alerts, updates, faults; docs/image-test.md; an hour or two
	@$(emulator)
	@PYTHONPATH=tests/builders $(BIN)/python tests/image/try_image.py build/image/nvr.img --page docs/image-test.md

image-smoke: image ## Of image-test: it starts, and an alert of a camera reaches a broker over TLS
	@$(emulator)
	@PYTHONPATH=tests/builders $(BIN)/python tests/image/try_image.py build/image/nvr.img --rows I1,I2

footage: $(VENV)/.test ## Alerts against labels and INT8 against float on real footage
	@$(call package,PATH="$$PATH:/usr/sbin" command -v mosquitto,mosquitto)
	@$(BIN)/edge-export default >/dev/null
	@$(BIN)/python -m pytest -q tests/e2e/test_footage.py tests/e2e/test_int8_on_footage.py

trust: $(VENV)/.test ## Named faults against what is promised: a line each, and docs/scorecard.md
	@$(call package,PATH="$$PATH:/usr/sbin" command -v mosquitto,mosquitto)
	@$(call package,ls /usr/lib/*/faketime/libfaketimeMT.so.1,faketime)
	@$(BIN)/edge-export default >/dev/null
	@$(BIN)/python tests/faults/scorecard.py

kills: $(VENV)/.test ## kill -9 of the daemon and of the publisher alone: KILLS=40
	@$(call package,PATH="$$PATH:/usr/sbin" command -v mosquitto,mosquitto)
	@EDGE_KILLS=$${KILLS:-40} $(BIN)/python -m pytest -q -s tests/e2e/test_kills.py \
		tests/edge/delivery/test_outbox_crash.py --timeout 3000

soak: $(VENV)/.test ## Hours under faults: does memory grow? HOURS=1
	@$(call package,PATH="$$PATH:/usr/sbin" command -v mosquitto,mosquitto)
	@$(BIN)/edge-export default >/dev/null
	@$(BIN)/python -m benchmarks.studies.soak --hours $${HOURS:-1} --out build/soak

fuzz: $(VENV)/.test ## Hostile bytes for every reader, guided by coverage, and a table: MINUTES=5
	@$(PIP) --editable '.[fuzz]'
	@$(BIN)/python tests/fuzz/run.py --minutes $${MINUTES:-5} --jobs $$(nproc)

sbom: $(VENV)/.test ## What is installed, as CycloneDX: build/sbom.json
	@$(PIP) --editable '.[sbom]'
	@PATH="$(BIN):$$PATH" $(BIN)/python deploy/sbom.py build/sbom.json

deb: $(VENV)/.demo ## The Debian packages for amd64: build/deb
	@$(call package,command -v readelf,binutils)
	@$(BIN)/edge-flash deb

container-lint: $(VENV)/.test ## Dockerfiles by hadolint, compose files by their schema
	@$(PIP) --editable '.[container]'
	@$(BIN)/hadolint -c deploy/container/.hadolint.yaml deploy/container/Dockerfile deploy/container/Dockerfile.l4t
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/container/compose.yaml \
		deploy/container/compose.l4t.yaml

container-test: container-lint ## Build the image and run it as compose.yaml says; root, 6 minutes
	@$(call package,command -v buildah,buildah)
	@$(call package,command -v runc,runc)
	@$(call package,command -v mmdebstrap,mmdebstrap)
	@$(call package,command -v mosquitto_sub,mosquitto mosquitto-clients)
	@PATH="$$PATH:/usr/sbin" PYTHONPATH=.:tests/builders:tests/golden $(BIN)/python tests/container/run.py

deb-test: $(VENV)/.test ## Packages in a clean Debian: built twice, started, upgraded, purged; five minutes
	@$(call package,command -v readelf,binutils)
	@$(call package,command -v mmdebstrap,mmdebstrap)
	@$(call package,command -v lintian,lintian)
	@$(call package,/usr/bin/python3 -c 'import seccomp',python3-seccomp)
	@$(call package,PATH="$$PATH:/usr/sbin" command -v mosquitto,mosquitto)
	@$(BIN)/python -m pytest -q --timeout 1800 tests/deb/package.py

events: $(VENV)/.test ## Asked against measured false alarms, order, pools; half an hour
	@$(PIP) --editable '.[study]'
	@mkdir -p build
	@$(BIN)/python -m benchmarks.studies.temporal
	@$(BIN)/python -m benchmarks.studies.false_alarms --out build/false_alarms.json

export-full: $(VENV)/.test ## Full-size models with random weights: cost, loss, speed; half an hour
	@$(BIN)/python -m export.compare.full_size

distill-demo: $(VENV)/.test ## The default model's space in a smaller network; real weights and pictures; an hour
	@$(BIN)/edge-export default >/dev/null
	@$(BIN)/edge-export footage >/dev/null
	@mkdir -p demo/distill
	@[ -d demo/distill/stamps ] || { cd demo/distill && apt-get download tuxpaint-stamps-default && \
		dpkg-deb -x tuxpaint-stamps-default_*.deb stamps; }
	@$(BIN)/python -m export.distill.studies.demo --work demo/distill \
		--stamps demo/distill/stamps/usr/share/tuxpaint/stamps --footage "$${FOOTAGE:-../shared/footage}"

distill-study: $(VENV)/.test ## Losses against each other on made-up scenes, several seeds; minutes
	@$(BIN)/python -m export.distill.studies.toy_study

distill-full: $(VENV)/.test ## Distil at full size without trained weights: time, memory, kill -9
	@mkdir -p demo/distill-full
	@[ -d demo/distill-full/teacher ] || $(BIN)/edge-export build clip-vit-b-16 --random-weights 0 \
		--frames 64 --out demo/distill-full/teacher
	@$(BIN)/python -m export.distill.studies.full_size --teacher demo/distill-full/teacher --work demo/distill-full

check: $(VENV)/.test ## Lint, format, layers and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports
	@$(BIN)/mypy

format: $(VENV)/.test ## Format the code and repair what ruff can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## Remove all that was made here
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo 'installing into $(VENV), a minute or two'
	@$(PIP) --editable '.[demo,openvino]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo 'installing into $(VENV), a minute or two'
	@$(PIP) --editable '.[dev,openvino,onnxruntime]'
	@touch $@ $(VENV)/.demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "expected Python 3.11 or newer, found $$($(PYTHON) --version 2>&1);" \
			'choose another one with: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(call package,$(PYTHON) -c 'import ensurepip',python3-venv)
	@$(PYTHON) -m venv $(VENV)

# What an image is started with, and the image as a disk has it.
EMULATOR := faketime mosquitto ovmf qemu-system-x86 qemu-utils
define emulator
$(call package,dpkg --status $(EMULATOR),$(EMULATOR))
@zstd --quiet --force --decompress --sparse build/image/nvr.img.zst -o build/image/nvr.img
endef

# $(call package,COMMAND,PACKAGE): the Debian package, unless the command succeeds. Installed where
# we may, named where we may not.
package = $(1) >/dev/null 2>&1 || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null; \
	} || { echo 'expected the package $(2); install it with: sudo apt-get install $(2)' >&2; exit 1; }
