# lanyard's targets. `make` alone lists them; .ci/run calls test, then check, then e2e.
# They need Go, git and, for the race detector, a C compiler. Nothing is installed:
# what is built lies in bin/, and tools in the user's cache directory.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := bash

MODULE := github.com/lanyard-io/lanyard

# How long each fuzz target, each benchmark, and the night shift's fuzzing runs.
FUZZTIME ?= 30s
BENCHTIME ?= 1s
NIGHTTIME ?= 10m
SCHEDULES ?= 10000

# The stamp: nearest tag and commit of this checkout. In a shallow clone it is the
# commit alone; in a tarball, or inside somebody else's repository, there is none.
VERSION ?= $(shell test -z "$$(git rev-parse --show-cdup 2>&1)" && git describe --tags --always --dirty --abbrev=12 --match 'v*' 2>/dev/null)
LDFLAGS = -s -w -X $(MODULE)/cmd/lanyard/internal/cli.Version=$(VERSION)

# The linter's binary is kept outside the tree, one for each pinned version and Go.
CACHE = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lanyard
LINT_KEY = $(shell { cat internal/tools/go.mod internal/tools/go.sum; go env GOVERSION GOOS GOARCH; } | git hash-object --stdin)
LINT = $(CACHE)/$(LINT_KEY)/golangci-lint

# The control plane for tests is kept there too, one for each state of its module. It
# says the version of Kubernetes that its go.mod names: unstamped, it would say one that
# clients cannot parse. DWARF is left out of every package: a minute less to compile.
CLUSTER_MODULE = test/cluster
BROWSER_MODULE = test/browser
KUBERNETES = $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2 }' $(CLUSTER_MODULE)/go.mod)
KUBERNETES_STAMP = gitVersion=$(KUBERNETES) gitMajor=$(subst v,,$(word 1,$(subst ., ,$(KUBERNETES)))) gitMinor=$(word 2,$(subst ., ,$(KUBERNETES))) \
	gitCommit=$(KUBERNETES) gitTreeState=clean buildDate=1970-01-01T00:00:00Z
CLUSTER_LDFLAGS = -s -w $(foreach pkg,k8s.io/component-base/version k8s.io/client-go/pkg/version,$(foreach field,$(KUBERNETES_STAMP),-X $(pkg).$(field)))
CLUSTER_BUILD = go -C $(CLUSTER_MODULE) build -trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags '$(CLUSTER_LDFLAGS)'
CLUSTER_KEY = $(shell { cat $(sort $(wildcard $(addprefix $(CLUSTER_MODULE)/,go.mod go.sum *.go *.yaml))); printf '%s\n' "$(CLUSTER_BUILD)"; go env GOVERSION GOOS GOARCH; } | git hash-object --stdin)
CLUSTER = $(CACHE)/$(CLUSTER_KEY)/testcluster

# Helm is built from its module, too, and kubectl beside it, with the flags of the control
# plane: what they need is compiled once.
HELM_MODULE = test/helm
HELM_BUILD = go -C $(HELM_MODULE) build -trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags '-s -w'
HELM_KEY = $(shell { cat $(HELM_MODULE)/go.mod $(HELM_MODULE)/go.sum $(HELM_MODULE)/kubectl/main.go; printf '%s\n' "$(HELM_BUILD)"; go env GOVERSION GOOS GOARCH; } | git hash-object --stdin)
HELM = $(CACHE)/$(HELM_KEY)/helm
CHART = deploy/helm/lanyard

GO_DIRS = $(wildcard cmd desired examples internal metrics migrate sync test)
say = @printf '%s: %s\n' '$@'

.PHONY: help
help: ## list the targets
	@awk -F ' ?## ' '/^[a-z0-9-]+:.* ## / { sub(/:.*/, "", $$1); printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## static binary bin/lanyard, stamped with the commit
	$(say) 'bin/lanyard (the first build compiles every dependency: some minutes)'
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/lanyard ./cmd/lanyard

# The image's name, and what builds it: docker, podman or nerdctl.
IMAGE ?= lanyard:$(or $(VERSION),dev)
ENGINE ?= docker

.PHONY: image
image: ## container image IMAGE, FROM scratch, with ENGINE (docker)
	@command -v $(ENGINE) >/dev/null || { echo 'make image: $(ENGINE) is missing: install it, or name another with ENGINE=podman' >&2; exit 1; }
	$(say) '$(IMAGE), by $(ENGINE)'
	@$(ENGINE) build --build-arg VERSION='$(VERSION)' --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" --tag '$(IMAGE)' .

# The chart's version is the tag's without its v, as Helm wants it: https://semver.org.
# Between tags it is a pre-release. The image's tag that it names is VERSION as it is.
CHART_VERSION ?= $(if $(filter v%,$(VERSION)),$(patsubst v%,%,$(VERSION)),0.0.0$(if $(VERSION),-g$(VERSION)))

.PHONY: chart
chart: $(HELM) ## the Helm chart as dist/lanyard-CHART_VERSION.tgz; the same commit makes the same file
	$(say) 'dist/lanyard-$(CHART_VERSION).tgz, for the image of tag $(or $(VERSION),dev)'
	@SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct 2>/dev/null)" '$(HELM)' package $(CHART) --destination dist --version '$(CHART_VERSION)' --app-version '$(or $(VERSION),dev)' >/dev/null

.PHONY: image-oci
image-oci: ## the image for amd64 and arm64 into dist/image, without a daemon, with its bill of materials
	$(say) 'dist/image, by buildah'
	@VERSION='$(VERSION)' .ci/image dist/image

.PHONY: demo
demo: build ## the main job in the sandbox: no account, no cluster
	@bin/lanyard sandbox --scenario demo

.PHONY: test
test: ## all tests, with the race detector
	@command -v "$$(go env CC | cut -d' ' -f1)" >/dev/null || { echo 'make test: the race detector needs a C compiler: install gcc' >&2; exit 1; }
	$(say) 'all packages with the race detector (the first run compiles every dependency: some minutes)'
	@CGO_ENABLED=1 go test -race -timeout 60m ./...

.PHONY: test-cluster
test-cluster: $(CLUSTER) ## build the control plane that e2e runs on, and say where it is
	@echo '$(CLUSTER)'

# No prerequisites: its path says what it was built from.
$(CLUSTER):
	@test "$$(go env GOOS)" = linux || { echo 'testcluster: needs Linux, which ends a child with its parent' >&2; exit 1; }
	@echo 'testcluster: building Kubernetes $(KUBERNETES) into $(@D) (once: about ten minutes on two cores; seconds after an edit)' >&2
	@mkdir -p $(@D)
	@CGO_ENABLED=0 $(CLUSTER_BUILD) -o $@.$$$$ . && mv $@.$$$$ $@

.PHONY: test-helm
test-helm: $(HELM) ## build Helm as pinned in test/helm, and kubectl beside it, and say where it is
	@echo '$(HELM)'

# No prerequisites: its path says what it was built from.
$(HELM):
	@echo 'helm: building the pinned version into $(@D), and kubectl (once, two minutes or three)' >&2
	@mkdir -p $(@D)
	@CGO_ENABLED=0 $(HELM_BUILD) -o $(@D)/kubectl.$$$$ ./kubectl && mv $(@D)/kubectl.$$$$ $(@D)/kubectl
	@CGO_ENABLED=0 $(HELM_BUILD) -o $@.$$$$ helm.sh/helm/v4/cmd/helm && mv $@.$$$$ $@

.PHONY: e2e
e2e: $(CLUSTER) $(HELM) ## tests on a real Kubernetes control plane, with the race detector
	$(say) 'test/e2e on $(CLUSTER)'
	@LANYARD_E2E=1 LANYARD_TESTCLUSTER='$(CLUSTER)' LANYARD_HELM='$(HELM)' CGO_ENABLED=1 go test -race -count=1 -timeout 60m ./test/e2e/...

.PHONY: check
check: check-format check-modules check-vet check-lint check-house check-rules check-dashboard check-chart check-commands check-page check-fuzz check-schedules check-bugs check-migration ## what CI runs besides: everything below
	$(say) 'all good'

.PHONY: check-format
check-format: ## gofmt would change nothing
	$(say) 'gofmt -d'
	@diff="$$(gofmt -d $(GO_DIRS))" && test -z "$$diff" || { printf '%s\n' "$$diff"; echo 'make check: run gofmt -w on the files above' >&2; exit 1; }

.PHONY: check-modules
check-modules: ## go mod tidy would change nothing, here and in the modules of tools, test/cluster, test/dashboard, test/helm and test/browser
	$(say) 'go mod tidy -diff'
	@go mod tidy -diff
	@go -C internal/tools mod tidy -diff
	@go -C internal/tools/release mod tidy -diff
	@go -C $(CLUSTER_MODULE) mod tidy -diff
	@go -C $(HELM_MODULE) mod tidy -diff
	@go -C test/dashboard mod tidy -diff
	@go -C $(BROWSER_MODULE) mod tidy -diff

.PHONY: check-vet
check-vet: ## go vet
	$(say) 'go vet ./...'
	@go vet ./...

.PHONY: check-lint
check-lint: $(LINT) ## golangci-lint as pinned in internal/tools
	$(say) 'golangci-lint run'
	@$(LINT) run --timeout 60m ./...

# No prerequisites: its path says what it was built from.
$(LINT):
	@echo 'golangci-lint: building the pinned version into $(@D) (once, some minutes)'
	@mkdir -p $(@D)
	@CGO_ENABLED=0 go -C internal/tools build -trimpath -buildvcs=false -ldflags '-s -w' -o $@.$$$$ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && mv $@.$$$$ $@

.PHONY: check-house
check-house: ## import arrows, package docs, the fixed top level
	$(say) 'internal/archtest'
	@go test ./internal/archtest

.PHONY: check-rules
check-rules: ## promtool: alert rules and their unit tests
	$(say) 'promtool check and test rules'
	@command -v promtool >/dev/null && command -v prometheus >/dev/null || { echo 'make check-rules: promtool or prometheus is missing, which make test needs too: apt-get install --no-install-recommends prometheus, or see https://prometheus.io/download' >&2; exit 1; }
	@promtool check rules deploy/prometheus/rules.yaml
	@cd deploy/prometheus && promtool test rules rules_test.yaml

.PHONY: check-dashboard
check-dashboard: ## the Grafana dashboard: Grafana's model of one, its queries, the metrics they name
	$(say) 'test/dashboard (the first run compiles PromQL and the model: a minute)'
	@go -C test/dashboard vet ./...
	@go -C test/dashboard test ./...

.PHONY: check-chart
check-chart: $(HELM) ## helm lint and template: the chart renders what deploy/kubernetes has, and refuses what is wrong
	$(say) 'TestHelm in test'
	@LANYARD_HELM='$(HELM)' go test -count=1 -timeout 60m -run '^TestHelm' ./test

# Without vet, which would go through all that kubectl is made of.
.PHONY: check-commands
check-commands: ## the commands of kubectl in README and docs are kubectl's, with flags that it has
	$(say) 'test/helm/kubectl'
	@CGO_ENABLED=0 $(patsubst build,test,$(HELM_BUILD)) -vet=off -count=1 ./kubectl

.PHONY: check-page
check-page: ## the status page of a daemon in the sandbox, and of the demo, in a headless Chromium
	$(say) 'test/browser'
	@command -v chromium chromium-browser google-chrome >/dev/null || { echo 'make check-page: Chromium is missing: apt-get install --no-install-recommends chromium, or put google-chrome into PATH' >&2; exit 1; }
	@go -C $(BROWSER_MODULE) vet ./...
	@go -C $(BROWSER_MODULE) test -count=1 -timeout 20m ./...

.PHONY: check-migration
check-migration: ## a small fleet moves and comes back while every pod is probed; again with processes that end, and with deliberate bugs
	$(say) 'TestMigration in cmd/lanyard/internal/cli'
	@LANYARD_MIGRATION=1 go test -tags bugs -count=1 -timeout 60m -run '^TestMigration' ./cmd/lanyard/internal/cli

.PHONY: check-image
check-image: image-oci ## that image again, from another directory and an empty Go cache: the same digest (some ten minutes)
	$(say) 'once more, from a clone'
	@dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; git clone -q . "$$dir/clone" && cd "$$dir/clone" && \
		GOCACHE="$$dir/cache" VERSION='$(VERSION)' .ci/image "$$dir/image" >/dev/null && cmp "$(CURDIR)/dist/image/digest" "$$dir/image/digest"

.PHONY: check-vulnerabilities
check-vulnerabilities: ## govulncheck: no known vulnerability is reached by what ships
	$(say) 'govulncheck ./...'
	@.ci/vulnerabilities

.PHONY: check-fuzz
check-fuzz: ## five seconds of each fuzz target
	$(say) 'five seconds each'
	@.ci/fuzz 5s

.PHONY: check-schedules
check-schedules: ## law 1 over SCHEDULES (10000) seeded schedules of moving fleets, all cores
	$(say) '$(SCHEDULES) schedules'
	@GOGC=400 LANYARD_SCHEDULES=$(SCHEDULES) go test -count=1 -timeout 60m ./migrate -run '^TestSchedules$$'

.PHONY: check-bugs
check-bugs: ## each deliberate bug of the mover is found by those schedules (seconds)
	$(say) 'deliberate bugs'
	@set -o pipefail; GOGC=400 LANYARD_SCHEDULES=$(SCHEDULES) go test -tags bugs -count=1 -timeout 60m -v ./migrate -run '^TestBugsAreFound$$' | grep -vE '^ *(=== |--- PASS)'

.PHONY: fuzz
fuzz: ## each fuzz target in turn for FUZZTIME (30s)
	@.ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## benchmarks, BENCHTIME each (1s)
	@go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -timeout 60m $$(grep -rl --include='*_test.go' '^func Benchmark' $(GO_DIRS) | xargs -n1 dirname | sort -u | sed 's,^,./,')

.PHONY: golden
golden: ## rewrite golden files; review them as a diff
	@go test -count=1 $$(grep -rlE --include='*.go' 'flag.Bool\("update"|"$(MODULE)/internal/testkit"' $(GO_DIRS) | xargs -n1 dirname | sort -u | sed 's,^,./,') -update
	@git status --short -- '*testdata*'

.PHONY: nightly
nightly: ## the long watch: shuffled repeats, fuzzing for NIGHTTIME (10m) each, mutants, reaction times, other languages, pictures, benchmarks
	$(say) 'tests three times, shuffled'
	@CGO_ENABLED=1 go test -race -shuffle=on -count=3 -timeout 60m ./...
	$(say) 'a fleet of 55 workloads to Pod Identity and back, every pod probed'
	@go run ./cmd/lanyard sandbox --scenario migration -o json
	$(say) 'every fault of every call, and a daemon for a thousand rounds'
	@go test -tags nightly -count=1 -timeout 60m ./test/faults
	$(say) 'from push to comment, and from merge to write, in real time (about a quarter of an hour)'
	@go test -tags nightly -count=1 -timeout 40m -v -run '^TestReaction$$' ./internal/app
	$(say) 'mutants of sync/trust (about a quarter of an hour)'
	@set -o pipefail; go test -tags nightly -count=1 -timeout 120m -v ./test/mutation | grep -vE '^ *(=== |--- PASS)'
	$(say) 'interop: installing what runs under Node (npm ci in test/interop)'
	@command -v npm >/dev/null || { echo 'make nightly: test/interop needs Node 20 or newer, with npm' >&2; exit 1; }
	@npm --prefix test/interop ci --no-progress
	$(say) 'interop: trust policies beside another evaluator, the AWS double beside another SDK'
	@set -o pipefail; go test -tags nightly -count=1 -timeout 30m -v ./test/interop | grep -vE '^ *(=== |--- PASS)'
	$(say) 'pictures of the status page in dist/pictures, to be looked at'
	@LANYARD_PICTURES='$(CURDIR)/dist/pictures' go -C $(BROWSER_MODULE) test -count=1 -timeout 20m -run '^TestPictures$$' ./...
	$(say) 'fuzzing, $(NIGHTTIME) each'
	@.ci/fuzz $(NIGHTTIME)
	$(say) 'benchmarks'
	@$(MAKE) --no-print-directory bench
	@$(MAKE) --no-print-directory check-image check-vulnerabilities

.PHONY: clean
clean: ## remove what was built in the tree
	@rm -rf bin dist
