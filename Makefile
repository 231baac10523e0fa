# Bare `make` prints what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
GO_MINIMUM := 1.26
BIN := bin/caddyshack
LINT_VERSION := v2.15.0
LINT := .cache/bin/golangci-lint-$(LINT_VERSION)
# Suites print how long they took.
SUITE = @scripts/suite

.PHONY: help
help: ## Print this help
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: go-version
go-version:
	@scripts/go-version $(GO) $(GO_MINIMUM)

.PHONY: build
build: go-version ## Build the program into bin/
	@mkdir -p bin
	@$(GO) build -o $(BIN) ./cmd/caddyshack

.PHONY: demo
demo: build ## Run everything with a simulated chassis of 13 caddies
	@$(BIN) demo

.PHONY: packages
packages: ## Install the Debian packages the tests need (as root)
	@scripts/packages

.PHONY: modules
modules: go-version # all Go modules that tests need, with further tries in bad moments of the network
	@GO=$(GO) scripts/modules

.PHONY: test
test: go-version packages modules ## All tests, as CI runs them
	@rm -f .cache/suites
	$(SUITE) unit $(MAKE) test-unit
	$(SUITE) fuzz $(MAKE) fuzz
	$(SUITE) lint $(MAKE) lint
	$(SUITE) web $(MAKE) web
	$(SUITE) clients $(MAKE) test-clients
	$(SUITE) suites $(MAKE) test-suites
	$(SUITE) keystone $(MAKE) test-keystone
	$(SUITE) e2e $(MAKE) test-e2e
	$(SUITE) netboot $(MAKE) test-netboot
	$(SUITE) raspi3b $(MAKE) test-raspi3b
	$(SUITE) faults $(MAKE) test-faults
	$(SUITE) networks $(MAKE) test-networks
	$(SUITE) nfs $(MAKE) test-nfs
	$(SUITE) dhcp $(MAKE) test-dhcp
	$(SUITE) firmware $(MAKE) firmware
	@scripts/suite report

# Packages are tested one by one, as some of their tests look at times; all is
# built before, as -p 1 would build on one core, too. The soak of the contract's
# tests mostly waits, for two minutes, and runs beside the others.
.PHONY: test-unit
test-unit: go-version firmware-host ## Go unit tests, with the race detector where gcc is there
	@race=; if command -v gcc >/dev/null; then race=-race; fi; \
	$(GO) build $$race ./...; \
	$(GO) test $$race -timeout 20m ./firmware/contract & soak=$$!; \
	failed=0; $(GO) test $$race -timeout 20m -p 1 $$($(GO) list ./... | grep -v '/firmware/contract$$') || failed=1; \
	wait $$soak || failed=1; exit $$failed

.PHONY: test-e2e
test-e2e: build firmware-host ## The real openstack client, mosquitto and PostgreSQL against the program
	@CADDYSHACK_BIN=$(abspath $(BIN)) $(GO) test -tags e2e -count=1 -timeout 15m ./e2e/...

.PHONY: test-clients
test-clients: go-version ## The openstack client, cloud-init and a browser against single rooms
	@$(GO) test -tags clients -count=1 -run Openstack ./ironicapi
	@$(GO) test -tags clients -count=1 -run CloudInit ./pxe/roots
	@$(GO) test -tags browser -count=1 ./drivers/console

.PHONY: fuzz
fuzz: go-version ## Every Go fuzz target, a minute in all
	@GO=$(GO) scripts/fuzz 60

.PHONY: test-netboot
test-netboot: build ## The demo image in QEMU, with its root over our NFS; cards with the real firmware; demo --pi qemu; a guest on a segment of its own (as root)
	@$(GO) test -tags qemu -count=1 -timeout 15m ./pxe/images/demo/... ./pxe/card
	@CADDYSHACK_BIN=$(abspath $(BIN)) $(GO) test -tags 'e2e qemu' -count=1 -timeout 15m -run QEMU ./e2e
	@$(GO) test -tags 'e2e netns qemu' -c -o bin/tap.test ./e2e
	@cd e2e && CADDYSHACK_BIN=$(abspath $(BIN)) ../scripts/netns $(abspath bin/tap.test) -test.run '^TestTAP' -test.timeout 10m

.PHONY: test-raspi3b
test-raspi3b: go-version ## What a virtual Pi 3B fetched, its device tree included, on QEMU's own model of that board, to a prompt and off again (1 min)
	@$(GO) test -tags qemu -v -count=1 -timeout 15m -run TestRaspberryPi3 ./sim/qemu

.PHONY: test-dhcp
test-dhcp: build ## DHCP with real packets in namespaces: every model, dnsmasq, udhcpc, lost packets, attacks (as root)
	@$(GO) test -tags 'e2e netns' -c -o bin/dhcp.test ./e2e
	@cd e2e && CADDYSHACK_BIN=$(abspath $(BIN)) ../scripts/netns $(abspath bin/dhcp.test) -test.run '^TestDHCP' -test.timeout 10m
	@$(GO) test -tags netns -c -o bin/pxe.test ./pxe
	@scripts/netns $(abspath bin/pxe.test) -test.run '^TestHoldNeighbour' -test.timeout 3m

.PHONY: test-faults
test-faults: go-version ## Boots of virtual Pis over bad networks, with wrong serials, without NFS (2 min)
	@$(GO) test -tags faults -count=1 -parallel 16 -timeout 20m -run 'TestFault|TestSecondBoot|TestBootMark|TestRescue' ./cmd/caddyshack

.PHONY: test-nfs
test-nfs: go-version ## A kernel's NFS mount in a guest, other servers, stressors
	@KERNELMOUNT_SHORT=1 $(GO) test -tags guest -count=1 -timeout 20m -parallel 2 -run 'TestKernelMount/.*/killed=false|TestKernelServer|TestStress' ./pxe/nfsd/kernelmount
	@$(GO) test -tags guest -count=1 -timeout 10m -run TestKernelServerUnderServe ./cmd/caddyshack
	@$(GO) test -tags ganesha -count=1 -timeout 10m -run Ganesha ./pxe/hostnfs ./cmd/caddyshack

.PHONY: test-networks
test-networks: build ## VLAN switches with real frames, and Pis of two tenants that boot through one, in network namespaces and a guest (as root)
	@$(GO) test -tags switches -count=1 -timeout 10m ./drivers/switches/... ./internal/ingress
	@CADDYSHACK_BIN=$(abspath $(BIN)) $(GO) test -tags switches -count=1 -timeout 10m ./e2e/networks

.PHONY: test-debian
test-debian: build ## A whole Debian in QEMU on our NFS, with the server killed (long; as root, packages in e2e/debian)
	@CADDYSHACK_BIN=$(abspath $(BIN)) $(GO) test -tags debian -v -count=1 -timeout 60m ./e2e/debian

.PHONY: test-suites
test-suites: build ## The clients' own test suites against the program (3 min)
	@CADDYSHACK_BIN=$(abspath $(BIN)) e2e/clients/run

.PHONY: test-keystone
test-keystone: build ## The openstack client with Debian's Keystone
	@CADDYSHACK_BIN=$(abspath $(BIN)) $(GO) test -tags keystone -count=1 -timeout 10m ./e2e/keystone

.PHONY: bench
bench: build ## The figures of docs/benchmarks.md
	@bench/peers .cache/peers
	@CADDYSHACK_BIN=$(abspath $(BIN)) BENCH_PEERS=$(abspath .cache/peers) $(GO) run ./bench

.PHONY: lint
lint: go-version $(LINT) ## golangci-lint with the list of .golangci.yml
	@$(LINT) run ./...

$(LINT):
	@mkdir -p .cache/bin
	@GOBIN=$(abspath .cache/bin) scripts/retry $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .cache/bin/golangci-lint $(LINT)

.PHONY: web
web: ## Rebuild the console page from npm and compare it with what was there
	@rm -rf .cache/web && mkdir -p .cache && cp -R web/dist .cache/web
	@web/build.sh
	@diff -r .cache/web web/dist || { echo "web/dist was not what web/build.sh makes; it is now: commit it" >&2; exit 1; }

.PHONY: firmware-host
firmware-host: # the unit as a Linux program, which the Go tests run
	@$(MAKE) -s -C firmware tools host

.PHONY: firmware
firmware: ## Build and test the firmware
	@$(MAKE) -C firmware test
	@$(MAKE) -C firmware fuzz

.PHONY: soak
soak: build ## The long tests
	@GO=$(GO) scripts/fuzz 3600
	@$(MAKE) -C firmware soak

.PHONY: clean
clean: ## Remove what was built
	@rm -rf bin .cache
	@$(MAKE) -C firmware clean
