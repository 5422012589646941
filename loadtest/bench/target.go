package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"holdfast/loadtest/harness"
)

// targetNames lists the targets, in the order of the table.
var targetNames = []string{"direct", "twemproxy", "haproxy", "holdfast", withRules, before}

// withRules is the proxy with fifty rules in place of the default one.
const withRules = "holdfast-50-rules"

// before is an older build of the proxy.
const before = "before"

// target is a server or proxy under load. Each proxy has a server of its own, so that runs leave
// nothing behind for others.
type target struct {
	name    string
	version string
	server  *harness.Process
	proxy   *harness.Process // nil for direct
	build   string           // of the proxy; "": bin/proxy
	keys    *harness.Keys    // with which the load speaks TLS; nil: plain
	secure  string           // the server's TLS port; "": none
	http    string           // where Holdfast serves metrics and profiles; "": another proxy
}

// addr is the address for the load.
func (t *target) addr() string {
	switch {
	case t.proxy != nil:
		return t.proxy.Addr
	case t.keys != nil:
		return t.secure
	}
	return t.server.Addr
}

// starter starts a proxy in front of the target's server in dir and returns it with its version.
type starter func(t *target, root, dir string) (*harness.Process, string, error)

// startDefault starts the target's build of Holdfast with its default rules.
func startDefault(t *target, root, dir string) (*harness.Process, string, error) {
	return t.startHoldfast(root, dir, "")
}

var starters = map[string]starter{
	"twemproxy": func(t *target, root, dir string) (*harness.Process, string, error) {
		return startTwemproxy(root, dir, t.server.Addr)
	},
	"haproxy": func(t *target, root, dir string) (*harness.Process, string, error) {
		return startHAProxy(root, dir, t.server.Addr)
	},
	"holdfast": startDefault,
	before:     startDefault,
	withRules: func(t *target, root, dir string) (*harness.Process, string, error) {
		return t.startHoldfast(root, dir, manyRules())
	},
}

// startTargets starts the named targets; older is the build of before. With an error, it also returns those already started.
func startTargets(root, dir string, names []string, older string) ([]*target, error) {
	var all []*target
	known := slices.Concat(targetNames, tlsTargets)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return all, fmt.Errorf("unknown target %q; there are %s", name, strings.Join(known, ", "))
		}
		t := &target{name: name}
		if name == before {
			t.build = older
		}
		all = append(all, t)
		home := filepath.Join(dir, name)
		if err := os.Mkdir(home, 0o755); err != nil {
			return all, err
		}
		if err := t.start(root, home); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (t *target) start(root, dir string) error {
	if slices.Contains(securedTargets, t.name) {
		return t.startSecure(root, dir)
	}
	if err := t.startServer(root, dir); err != nil {
		return err
	}
	start := starters[t.name]
	if start == nil {
		return nil
	}
	var err error
	t.proxy, t.version, err = start(t, root, dir)
	return err
}

func (t *target) startServer(root, dir string, args ...string) error {
	program, err := harness.Program(root, "valkey", "valkey-server")
	if err != nil {
		return err
	}
	t.version = programVersion(program, "--version")
	t.server, _, err = harness.StartValkey(root, dir, append(args, "--maxclients", "10000")...)
	return err
}

func stopTargets(all []*target) {
	for _, t := range all {
		for _, p := range []*harness.Process{t.proxy, t.server} {
			if p != nil {
				p.Stop()
			}
		}
	}
}

// configured writes text as a file in dir after filling in a free listening address.
func configured(dir, name, format string, upstream string) (addr, path string, err error) {
	addr, err = harness.FreeAddr()
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, name)
	return addr, path, os.WriteFile(path, fmt.Appendf(nil, format, addr, upstream), 0o644)
}

// twemproxyConfig is one pool of one server, connected beforehand.
const twemproxyConfig = `bench:
  listen: %s
  redis: true
  hash: fnv1a_64
  distribution: ketama
  preconnect: true
  servers:
    - %s:1
`

func startTwemproxy(root, dir, upstream string) (*harness.Process, string, error) {
	program, err := harness.Program(root, "nutcracker", "nutcracker")
	if err != nil {
		return nil, "", err
	}
	addr, config, err := configured(dir, "twemproxy.yml", twemproxyConfig, upstream)
	if err != nil {
		return nil, "", err
	}
	stats, err := harness.FreeAddr() // its statistics listen on a fixed port otherwise
	if err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(stats)
	p, err := harness.Start(dir, "twemproxy", addr, program,
		"-c", config, "-v", "0", "-a", "127.0.0.1", "-s", port,
		"-o", filepath.Join(dir, "messages"), "-p", filepath.Join(dir, "pid"))
	return p, programVersion(program, "--version"), err
}

// haproxyConfig is a TCP relay on one thread, as the other proxies have.
const haproxyConfig = `global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind %s
  server upstream %s
`

func startHAProxy(root, dir, upstream string) (*harness.Process, string, error) {
	return startHAProxyWith(root, dir, upstream, haproxyConfig)
}

func startHAProxyWith(root, dir, upstream, format string) (*harness.Process, string, error) {
	program, err := harness.Program(root, "haproxy", "haproxy")
	if err != nil {
		return nil, "", err
	}
	addr, config, err := configured(dir, "haproxy.cfg", format, upstream)
	if err != nil {
		return nil, "", err
	}
	p, err := harness.Start(dir, "haproxy", addr, program, "-db", "-f", config)
	return p, programVersion(program, "-v"), err
}

// startHoldfast runs the target's build with its metrics and its profiler served, and the default rules unless
// extra has others.
func (t *target) startHoldfast(root, dir, extra string) (*harness.Process, string, error) {
	return t.startHoldfastWith(root, dir, func(addr, http string) (string, error) {
		return harness.ProxyConfig(dir, addr, t.server.Addr, http, "  pprof: true\n"+extra)
	})
}

// startHoldfastWith runs the target's build with the file that configure writes for these addresses.
func (t *target) startHoldfastWith(root, dir string, configure func(addr, http string) (string, error)) (
	*harness.Process, string, error) {
	program := cmp.Or(t.build, filepath.Join(root, "bin", "proxy"))
	if _, err := os.Stat(program); err != nil {
		return nil, "", fmt.Errorf("%w; make build makes bin/proxy", err)
	}
	addr, err := harness.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	if t.http, err = harness.FreeAddr(); err != nil {
		return nil, "", err
	}
	config, err := configure(addr, t.http)
	if err != nil {
		return nil, "", err
	}
	p, err := harness.Start(dir, "holdfast", addr, program, "serve", "--config", config)
	return p, programVersion(program, "version"), err
}

// versionText matches a version in the output of a program: "HAProxy version 2.6.12-1", "Valkey
// server v=8.0.1 sha=…", "holdfast v0.1.0-3-g1234567 (go1.26 …)", "holdfast 1234567".
var versionText = regexp.MustCompile(
	`(?:holdfast |nutcracker-|version |v=)v?([0-9a-f][-.0-9a-z]*|\(devel\))`)

// programVersion returns the version that a program prints about itself.
func programVersion(program string, args ...string) string {
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil && len(out) == 0 {
		return "unknown"
	}
	return findVersion(string(out))
}

func findVersion(text string) string {
	if m := versionText.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return "unknown"
}
