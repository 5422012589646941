package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// A contender is a server with a proxy before it.
type contender struct {
	server, proxy *harness.Process
	rates, p99s   []float64
	cpus          []float64 // of the proxy, µs per command
	serverCPUs    []float64
}

func (c *contender) stop() {
	for _, p := range []*harness.Process{c.proxy, c.server} {
		if p != nil {
			p.Stop()
		}
	}
}

// startServer runs a private Valkey in dir.
func startServer(root, dir, name string, args ...string) (*harness.Process, error) {
	program, err := harness.Program(root, "valkey", "valkey-server")
	if err != nil {
		return nil, err
	}
	addr, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	return harness.Start(dir, name, addr, append([]string{program, "--port", port, "--bind",
		"127.0.0.1", "--save", "", "--dir", dir, "--repl-diskless-sync-delay", "0"}, args...)...)
}

// startContender runs both; extra is added to the proxy's configuration.
func startContender(root, dir, extra string) (*contender, error) {
	c := &contender{}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, err
	}
	var err error
	if c.server, err = startServer(root, dir, "server", "--repl-backlog-size", "256mb"); err != nil {
		return c, err
	}
	return c, c.startProxy(root, dir, extra)
}

// startProxy runs the proxy before the contender's server.
func (c *contender) startProxy(root, dir, extra string) error {
	program := filepath.Join(root, "bin", "proxy")
	if _, err := os.Stat(program); err != nil {
		return errors.New("bin/proxy is not there; run make build")
	}
	addr, err := harness.FreeAddr()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf("listeners: [{address: %q}]\nupstream: {address: %q}\n"+
		"admin: {address: off, http: off}\n%s", addr, c.server.Addr, extra)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	c.proxy, err = harness.Start(dir, "proxy", addr, program, "serve", "--config", config)
	return err
}

// measureProxied compares a proxy with the journal on with one that has none.
func measureProxied(ctx context.Context, o *options, root, dir string) (string, error) {
	off, on, err := compare(ctx, o, root, dir, "journal: {dir: j}\n")
	if err != nil {
		return "", err
	}
	rate, cpu := medianRatio(on.rates, off.rates), medianRatio(on.cpus, off.cpus)
	return fmt.Sprintf("### Proxied SETs, 50 connections, depth 1\n\n"+
		"| journal | commands/s | CPU of the proxy, µs per command | of the server |\n"+
		"|---|---|---|---|\n| off | %.0f | %.1f | %.1f |\n| on | %.0f | %.1f | %.1f |\n"+
		"| ratio | %.2f (%s) | %.2f (%s) | %.2f |\n\n",
		harness.Median(off.rates), harness.Median(off.cpus), harness.Median(off.serverCPUs), harness.Median(on.rates),
		harness.Median(on.cpus), harness.Median(on.serverCPUs), rate, goal(rate >= 0.85, "at least 0.85"), cpu,
		goal(cpu <= 1.3, "at most 1.3"), medianRatio(on.serverCPUs, off.serverCPUs)), nil
}

// compare loads a proxy without a journal and one with this journal in turn.
func compare(ctx context.Context, o *options, root, dir, journal string) (off, on *contender,
	err error,
) {
	off, err = startContender(root, filepath.Join(dir, "off"), "")
	defer off.stop()
	if err != nil {
		return nil, nil, err
	}
	on, err = startContender(root, filepath.Join(dir, "on"), journal)
	defer on.stop()
	if err != nil {
		return nil, nil, err
	}
	requests := 20_000
	for round := -1; round < o.rounds; round++ {
		both := []*contender{off, on}
		for i := range both {
			c := both[(i+round+2)%2]
			l, err := c.load(ctx, root, requests)
			if err != nil {
				return nil, nil, err
			}
			if round < 0 { // warming up; it also measures how many fit the time
				requests = max(requests, int(l.rate*o.seconds))
				continue
			}
			c.rates, c.p99s = append(c.rates, l.rate), append(c.p99s, l.p99)
			c.cpus, c.serverCPUs = append(c.cpus, l.cpu), append(c.serverCPUs, l.serverCPU)
		}
	}
	return off, on, nil
}

// A load is the result of one run of the load generator.
type load struct {
	rate           float64 // commands a second
	p99            float64 // ms
	cpu, serverCPU float64 // µs per command
}

func (c *contender) load(ctx context.Context, root string, requests int) (l load, err error) {
	program, err := harness.Program(root, "valkey", "valkey-benchmark")
	if err != nil {
		return l, err
	}
	proxy, server, err := c.cpuTimes()
	if err != nil {
		return l, err
	}
	host, port, _ := net.SplitHostPort(c.proxy.Addr)
	out, err := exec.CommandContext(ctx, program, "-h", host, "-p", port, "-t", "set", "-c", "50",
		"-r", "100000", "-n", strconv.Itoa(requests), "--csv").Output()
	if err != nil {
		return l, fmt.Errorf("valkey-benchmark: %w", err)
	}
	proxyAfter, serverAfter, err := c.cpuTimes()
	if err != nil {
		return l, err
	}
	perCommand := float64(time.Microsecond) * float64(requests)
	l.cpu = float64(proxyAfter-proxy) / perCommand
	l.serverCPU = float64(serverAfter-server) / perCommand
	l.rate, l.p99, err = parseLoad(string(out))
	return l, err
}

func (c *contender) cpuTimes() (proxy, server time.Duration, err error) {
	if proxy, err = harness.CPUTime(c.proxy.Pid); err != nil {
		return 0, 0, err
	}
	server, err = harness.CPUTime(c.server.Pid)
	return proxy, server, err
}

// parseLoad reads the columns rps and p99_latency_ms of valkey-benchmark's --csv output: "test",
// "rps", "avg_latency_ms", "min_latency_ms", "p50_latency_ms", "p95_…", "p99_…", "max_…".
func parseLoad(out string) (rate, p99 float64, err error) {
	for line := range strings.Lines(out) {
		record, err := csv.NewReader(strings.NewReader(line)).Read()
		if err == nil && len(record) > 6 && record[0] == "SET" {
			rate, e1 := strconv.ParseFloat(record[1], 64)
			p99, e2 := strconv.ParseFloat(record[6], 64)
			return rate, p99, errors.Join(e1, e2)
		}
	}
	return 0, 0, fmt.Errorf("no figures in the output of valkey-benchmark: %q", out)
}
