# `make help` lists what there is. Everything that is built or fetched lands in folders that git
# ignores: bin/, .tools/ and data/.

GO      ?= go
CONFIG  ?= configs/holdfast.yaml
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# The CPU profile that programs for use are compiled with. It is not called default.pgo: the tests would compile
# every package a second time.
PROFILE := cmd/proxy/release.pgo
EPOCH   ?= $(shell git log -1 --format=%ct 2>/dev/null)

# Variables of single targets, shown by `make help` beside them.
SERVER   ?= redis
ROUNDS   ?= 5
SECONDS  ?= 1
FUZZTIME ?= 20s
CUTS     ?= 20
KILLS    ?= 20
FAILOVERS ?= 3
UPGRADES ?= 20
RESTORES ?= 21
REPAIRS ?= 200

.DEFAULT_GOAL := help
.PHONY: help build dist dist-check run test test-short test-proxy fmt vet servers conformance bench bench-rules bench-tls profile clients bench-journal bench-durable bench-hostile bench-repair page-test demo drills powercut crash failover upgrade soak restores repairs fuzz lint clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the proxy as bin/proxy, a static binary.
	CGO_ENABLED=0 $(GO) build -trimpath -pgo=$(PROFILE) -ldflags '-X main.version=$(VERSION)' -o bin/proxy ./cmd/proxy

dist: ## Make the packages of a release in bin/dist: binaries, archives, .deb, images, checksums.
	$(GO) run ./scripts/dist --out bin/dist --version $(VERSION) --epoch $(EPOCH)

dist-check: ## Make the packages twice in clean clones, compare every byte, and try each package and manifest.
	@scripts/distcheck.sh

run: build ## Serve on 127.0.0.1:6380 until interrupted, with a private server if none answers (CONFIG=file).
	@scripts/run.sh bin/proxy $(CONFIG)

test: ## Run every check and test with the race detector against real servers.
	@scripts/test.sh

test-proxy:
	@$(GO) build -buildvcs=false -ldflags '-X main.segmentBytes=1048576' -o bin/test-proxy ./cmd/proxy

test-short: servers test-proxy ## Run the tests on one server, without the race detector (PKG=./proxy/...).
	HOLDFAST_TEST_PROXY=$(CURDIR)/bin/test-proxy $(GO) test -short -parallel 6 $(or $(PKG),./...)

fmt: ## Format the Go code.
	gofmt -w $$(git ls-files '*.go')

lint: ## Run vet for this system and macOS, staticcheck, unparam, errorlint and deadcode; check the prose.
	@scripts/lint.sh

vet: ## Run go vet for this system and for macOS.
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...

servers: ## Get Redis 7.0, 8.0.2, 8.0.6, Valkey 8.0, 8.1, 9.1 and strace into .tools/servers.
	@scripts/servers.sh

conformance: build ## Run the server's own test suite directly and through the proxy (SERVER=redis|redis8new|valkey|valkey9, TLS=1).
	@scripts/conformance.sh --server $(SERVER) $(if $(TLS),--tls)

bench: build ## Compare with direct, twemproxy, HAProxy; loadtest/RESULTS.md (BENCHFLAGS=--quick, "--before bin/old").
	@scripts/servers.sh valkey peers
	$(GO) run ./loadtest/bench --rounds $(ROUNDS) --seconds $(SECONDS) $(BENCHFLAGS)

bench-rules: build ## Compare the proxy under fifty rules with itself; loadtest/RESULTS.md.
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/bench --rules --rounds 12 --seconds 0.5 $(BENCHFLAGS)

bench-tls: build ## Compare TLS in the proxy with plain, HAProxy's and the server's; loadtest/RESULTS.md (BENCHFLAGS=--quick).
	@scripts/servers.sh valkey peers
	$(GO) run ./loadtest/bench --tls --rounds $(ROUNDS) --seconds $(SECONDS) $(BENCHFLAGS)

profile: build ## Take the CPU profile that builds are optimized with: cmd/proxy/release.pgo.
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/bench --profile $(PROFILE) --seconds 4

clients: build ## Play the same checks with nine client libraries through TLS; needs node, npm, python3; loadtest/RESULTS.md.
	@scripts/clients.sh
	$(GO) run ./loadtest/clients $(CLIENTFLAGS)

bench-hostile: build ## Measure what a client sees while others behave badly; loadtest/RESULTS.md (ROUNDS=5, HOSTILEFLAGS=...).
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/hostile --rounds $(ROUNDS) $(HOSTILEFLAGS)

bench-repair: build ## Measure repair and diff at scale, and the clients meanwhile; loadtest/RESULTS.md (RBENCHFLAGS=--keys=100000).
	@scripts/servers.sh valkey valkey9 redis
	$(GO) run ./loadtest/repairbench $(RBENCHFLAGS)
	HOLDFAST_TEST_LARGE_MB=100 $(GO) test -count=1 -run 'TestLargeValuesAndFields$$' ./journal/repair  # exact at 100 MB, too

page-test: build ## Play an incident on the operator's page in headless Chromium (107 MB fetched) and, with npm, axe-core; SHOTS=docs for new pictures.
	@scripts/servers.sh valkey chromium
	axe=$$(scripts/axe.sh) && $(GO) run ./loadtest/pagetest $${axe:+--axe "$$axe"} $(if $(SHOTS),--shots $(SHOTS)) $(PAGEFLAGS)

demo: build ## Play the incident: a million keys, 100,000 FLUSHALLs, UNDO (DEMOFLAGS=--keys=10000).
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/demo $(DEMOFLAGS)

drills: build servers ## Play each incident of docs/recovery.md by its own commands on three servers; needs root; loadtest/RESULTS.md.
	HOLDFAST_TEST_PROXY=$(CURDIR)/bin/proxy HOLDFAST_DRILLS=$(or $(DRILLS),$(CURDIR)/loadtest/RESULTS.md) $(GO) test -count=1 -timeout 30m -run 'TestDrills$$' ./loadtest/drills

bench-journal: build ## Measure the journal: disk, proxied SETs on and off, restore; loadtest/RESULTS.md (JBENCHFLAGS=--gib=4).
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/journalbench $(JBENCHFLAGS)

bench-durable: build ## Measure what durable acknowledgements cost; slow disks need root (ROUNDS=5, DBENCHFLAGS=--quick).
	@scripts/servers.sh valkey
	$(GO) build -o bin/durablebench ./loadtest/durablebench
	bin/durablebench --rounds $(ROUNDS) $(DBENCHFLAGS)

powercut: ## Cut the power under a journal, again and again: FUSE, loop, ext4; needs root (CUTS=20).
	$(GO) run ./loadtest/powercut --rounds $(CUTS)
	$(GO) build -o bin/powercut ./loadtest/powercut
	! bin/powercut --rounds 5 --lie  # a disk that lies must be caught

crash: build ## Kill servers and proxies under load; no acknowledged write may be lost (KILLS=20, CRASHFLAGS=...).
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/crash --rounds $(KILLS) --results $(CRASHFLAGS)

failover: build servers ## Fail over four kinds of servers under load, beside HAProxy, and count the losses; needs root (FAILOVERS=3, FAILOVERFLAGS="-only COORDINATED -servers valkey9").
	@scripts/servers.sh haproxy
	HOLDFAST_TEST_PROXY=$(CURDIR)/bin/proxy HOLDFAST_FAILOVER=$(or $(FAILOVER),$(CURDIR)/loadtest/RESULTS.md) \
		$(GO) test -count=1 -timeout 12h -v -run 'TestFailover$$' ./loadtest/failover -rounds $(FAILOVERS) $(FAILOVERFLAGS)

upgrade: build ## Replace the proxy under load; no connection may be refused, and no write lost (UPGRADES=20, UPGRADEFLAGS=--restart).
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/upgrade --rounds $(UPGRADES) $(UPGRADEFLAGS)

soak: build ## Churn connections, hold 10,000 idle ones, plain and with TLS; memory must stay flat.
	@scripts/servers.sh valkey
	$(GO) run ./loadtest/soak $(SOAKFLAGS)

restores: servers ## Restore random points of random workloads on six servers and compare, 4 a round (RESTORES=21: 504).
	HOLDFAST_REPLAY_ROUNDS=$(RESTORES) $(GO) test -count=1 -timeout 2h -run 'TestDifferential$$' ./journal/replay

repairs: servers ## Repair servers that lose random writes, under load, and compare with the rule (REPAIRS=200).
	HOLDFAST_REPAIR_ROUNDS=$(REPAIRS) $(GO) test -count=1 -timeout 2h -parallel 4 -run 'TestRandomRepairs$$' -v ./journal/repair

fuzz: ## Fuzz every decoder for a while (FUZZTIME=20s each).
	@scripts/fuzz.sh $(FUZZTIME)

clean: ## Remove what was built; .tools (fetched servers) and data stay.
	rm -rf bin loadtest/out .tools/conformance
