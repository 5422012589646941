package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"holdfast/loadtest/harness"
)

// The targets with TLS: the server itself, HAProxy that ends it, and the proxy with TLS to clients,
// or on both sides.
const (
	directTLS  = "direct-tls"
	haproxyTLS = "haproxy-tls"
	frontTLS   = "holdfast-tls"
	bothTLS    = "holdfast-tls-both"
)

var (
	securedTargets = []string{directTLS, haproxyTLS, frontTLS, bothTLS}
	// tlsTargets are those of a run with --tls, in the order of its table.
	tlsTargets = []string{"direct", directTLS, "haproxy", haproxyTLS, "holdfast", frontTLS, bothTLS}
)

// startSecure starts one of securedTargets.
func (t *target) startSecure(root, dir string) (err error) {
	if t.keys, err = harness.NewKeys(dir); err != nil {
		return err
	}
	if err := t.startSecureServer(root, dir); err != nil {
		return err
	}
	switch t.name {
	case haproxyTLS:
		format := strings.Replace(haproxyConfig, "bind %s", "bind %s ssl ssl-min-ver TLSv1.2 crt "+t.keys.Both, 1)
		t.proxy, t.version, err = startHAProxyWith(root, dir, t.server.Addr, format)
	case frontTLS, bothTLS:
		t.proxy, t.version, err = t.startHoldfastWith(root, dir, func(addr, http string) (string, error) {
			path := filepath.Join(dir, "holdfast.yaml")
			return path, os.WriteFile(path, []byte(t.secureConfig(addr, http)), 0o644)
		})
	}
	return err
}

// startSecureServer starts a server with a plain and a TLS port.
func (t *target) startSecureServer(root, dir string) error {
	addr, err := harness.FreeAddr()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	t.secure = addr
	return t.startServer(root, dir, "--tls-port", port, "--tls-cert-file", t.keys.Cert,
		"--tls-key-file", t.keys.Key, "--tls-ca-cert-file", t.keys.CA, "--tls-auth-clients", "no")
}

// secureConfig is the proxy's configuration.
func (t *target) secureConfig(addr, http string) string {
	upstream := "address: " + t.server.Addr
	if t.name == bothTLS {
		upstream = fmt.Sprintf("address: %s\n  tls: {ca: %q}", t.secure, t.keys.CA)
	}
	return fmt.Sprintf("listeners:\n  - address: %s\n    tls: {cert: %q, key: %q}\nupstream:\n  %s\n"+
		"admin:\n  address: off\n  http: %s\n  pprof: true\n", addr, t.keys.Cert, t.keys.Key, upstream, http)
}

// tlsArgs are the arguments with which valkey-benchmark speaks TLS to the target.
func (t *target) tlsArgs() []string {
	if t.keys == nil {
		return nil
	}
	return []string{"--tls", "--cacert", t.keys.CA}
}

// tlsGoal is a limit on the CPU per command of the proxy with TLS to clients, relative to other.
type tlsGoal struct {
	text  string
	other string
	cost  func(sample) float64 // of other
	depth int                  // 0: every depth
	limit float64
}

var tlsGoals = []tlsGoal{
	{"at most 1.5 of plain", "holdfast", proxyCPU, 1, 1.5},
	{"at most 1.6 of plain", "holdfast", proxyCPU, 16, 1.6},
	{"below HAProxy's", haproxyTLS, proxyCPU, 0, 1},
	{"below that of the whole server with TLS", directTLS, serverCPU, 0, 1},
}

// reportTLS is the text of the result of a run with --tls.
func (b *bench) reportTLS(description string) string {
	var w strings.Builder
	b.writeHead(&w, description)
	w.WriteString("\n| goal: CPU per command with TLS to clients | depth | cells that reach it | the others |\n" +
		"|---|--:|--:|---|\n")
	for _, g := range tlsGoals {
		b.writeTLSGoal(&w, g)
	}
	w.WriteString("\n| workload | depth | connections | target | commands/s | of its plain | CPU µs/command |" +
		" of its plain | server's CPU µs/command |\n|---|--:|--:|---|--:|--:|--:|--:|--:|\n")
	for _, c := range b.cells {
		for _, t := range b.targets {
			b.writeTLSRow(&w, t, c)
		}
	}
	return w.String()
}

func (b *bench) writeTLSGoal(w *strings.Builder, g tlsGoal) {
	all, missed := 0, []string{}
	for _, c := range b.cells {
		base := b.median(key{g.other, c}, g.cost)
		if base == 0 || g.depth != 0 && g.depth != c.depth {
			continue
		}
		all++
		if r := b.median(key{frontTLS, c}, proxyCPU) / base; r > g.limit {
			missed = append(missed, fmt.Sprintf("%s depth %d × %d: %.2f", c.workload, c.depth, c.connections, r))
		}
	}
	depth := "all"
	if g.depth != 0 {
		depth = fmt.Sprint(g.depth)
	}
	fmt.Fprintf(w, "| %s | %s | %d of %d | %s |\n", g.text, depth, all-len(missed), all,
		strings.Join(missed, ", "))
}

// writeTLSRow writes the row of a target in a cell, relative to the same target without TLS.
func (b *bench) writeTLSRow(w *strings.Builder, t *target, c cell) {
	k := key{t.name, c}
	plain, _, secured := strings.Cut(t.name, "-tls")
	cpu, cpuRatio, rateRatio := "", "", ""
	if t.proxy != nil {
		cpu = fmt.Sprintf("%.2f", b.median(k, proxyCPU))
	}
	if secured {
		rateRatio = harness.Ratio(b.against(k, plain, opsPerSecond))
		cpuRatio = harness.Ratio(b.against(k, plain, proxyCPU))
	}
	fmt.Fprintf(w, "| %s | %d | %d | %s | %.0f | %s | %s | %s | %.2f |\n", c.workload, c.depth, c.connections,
		t.name, b.median(k, opsPerSecond), rateRatio, cpu, cpuRatio, b.median(k, serverCPU))
}
