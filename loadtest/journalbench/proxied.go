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
	rates, cpus   []float64
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
		"127.0.0.1", "--save", "", "--dir", dir, "--repl-diskless-sync-delay", "0",
		"--repl-backlog-size", "256mb"}, args...)...)
}

// startContender runs both; extra is added to the proxy's configuration.
func startContender(root, dir, extra string) (*contender, error) {
	c := &contender{}
	program := filepath.Join(root, "bin", "proxy")
	if _, err := os.Stat(program); err != nil {
		return c, errors.New("bin/proxy is not there; run make build")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, err
	}
	var err error
	if c.server, err = startServer(root, dir, "server"); err != nil {
		return c, err
	}
	addr, err := harness.FreeAddr()
	if err != nil {
		return c, err
	}
	config := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf("listeners: [{address: %q}]\nupstream: {address: %q}\n"+
		"admin: {address: off, http: off}\n%s", addr, c.server.Addr, extra)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return c, err
	}
	c.proxy, err = harness.Start(dir, "proxy", addr, program, "serve", "--config", config)
	return c, err
}

// measureProxied compares a proxy with the journal on with one that has none.
func measureProxied(ctx context.Context, o *options, root, dir string) (string, error) {
	off, err := startContender(root, filepath.Join(dir, "off"), "")
	defer off.stop()
	if err != nil {
		return "", err
	}
	on, err := startContender(root, filepath.Join(dir, "on"), "journal: {dir: j}\n")
	defer on.stop()
	if err != nil {
		return "", err
	}
	requests := 20_000
	for round := -1; round < o.rounds; round++ {
		both := []*contender{off, on}
		for i := range both {
			c := both[(i+round+2)%2]
			rate, cpu, err := c.load(ctx, root, requests)
			if err != nil {
				return "", err
			}
			if round < 0 { // warming up; it also tells how many fit the time
				requests = max(requests, int(rate*o.seconds))
				continue
			}
			c.rates, c.cpus = append(c.rates, rate), append(c.cpus, cpu)
		}
	}
	rate, cpu := median(on.rates)/median(off.rates), median(on.cpus)/median(off.cpus)
	return fmt.Sprintf("### Proxied SETs, 50 connections, depth 1\n\n"+
		"| journal | commands/s | CPU of the proxy, µs per command |\n|---|---|---|\n"+
		"| off | %.0f | %.1f |\n| on | %.0f | %.1f |\n| ratio | %.2f (%s) | %.2f (%s) |\n\n",
		median(off.rates), median(off.cpus), median(on.rates), median(on.cpus),
		rate, goal(rate >= 0.85, "at least 0.85"), cpu, goal(cpu <= 1.3, "at most 1.3")), nil
}

// load returns commands a second, and CPU of the proxy in µs per command.
func (c *contender) load(ctx context.Context, root string, requests int) (rate, cpu float64, err error) {
	program, err := harness.Program(root, "valkey", "valkey-benchmark")
	if err != nil {
		return 0, 0, err
	}
	before, err := harness.CPUTime(c.proxy.Pid)
	if err != nil {
		return 0, 0, err
	}
	host, port, _ := net.SplitHostPort(c.proxy.Addr)
	out, err := exec.CommandContext(ctx, program, "-h", host, "-p", port, "-t", "set", "-c", "50",
		"-r", "100000", "-n", strconv.Itoa(requests), "--csv").Output()
	if err != nil {
		return 0, 0, fmt.Errorf("valkey-benchmark: %w", err)
	}
	after, err := harness.CPUTime(c.proxy.Pid)
	if err != nil {
		return 0, 0, err
	}
	rate, err = parseRate(string(out))
	return rate, float64(after-before) / float64(time.Microsecond) / float64(requests), err
}

// parseRate reads the rps column of valkey-benchmark's --csv output.
func parseRate(out string) (float64, error) {
	for line := range strings.Lines(out) {
		record, err := csv.NewReader(strings.NewReader(line)).Read()
		if err == nil && len(record) > 1 && record[0] == "SET" {
			return strconv.ParseFloat(record[1], 64)
		}
	}
	return 0, fmt.Errorf("no rate in the output of valkey-benchmark: %q", out)
}
