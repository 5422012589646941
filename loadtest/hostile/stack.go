package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/loadtest/harness"
)

// withStack calls f with a fresh server, behind a proxy or not, whose logs are in dir, and stops them.
func withStack(root, dir string, a attack, proxied bool, f func(target) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var keys *harness.Keys
	var args []string
	var secure string
	if a.secured {
		var err error
		if keys, err = harness.NewKeys(dir); err != nil {
			return err
		}
		if args, secure, err = securedServer(keys); err != nil {
			return err
		}
	}
	server, addr, err := harness.StartValkey(root, dir, args...)
	if err != nil {
		return err
	}
	defer server.Stop()
	to := target{addr: addr}
	if err := fill(addr, a); err != nil {
		return err
	}
	if a.locked {
		to.password = password
	}
	if a.stall {
		relay, err := startRelay(addr)
		if err != nil {
			return err
		}
		defer relay.Close()
		to.addr = relay.Addr
	}
	if !proxied {
		if a.secured {
			to.addr, to.ca = secure, keys.CA
		}
		return f(to)
	}
	p, err := startProxy(root, dir, &to, keys)
	if err != nil {
		return err
	}
	defer p.Stop()
	return f(to)
}

// fill prepares the server for an attack.
func fill(addr string, a attack) error {
	c, err := harness.DialClient(addr, calmPatience)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, args := range [][]string{{"SET", "calm", "v"}, {"SET", "poison", poisoned},
		{"SET", "heavy", strings.Repeat("x", heavySize)}} {
		if _, err := c.Must(args...); err != nil {
			return err
		}
	}
	if a.locked {
		_, err = c.Must("CONFIG", "SET", "requirepass", password)
	}
	return err
}

// startProxy runs the proxy in front of to, which is then the proxy, with TLS if there are keys.
func startProxy(root, dir string, to *target, keys *harness.Keys) (*harness.Process, error) {
	program := filepath.Join(root, "bin", "proxy")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%s is not there; run make build", program)
	}
	var addrs [2]string
	for i := range addrs {
		var err error
		if addrs[i], err = harness.FreeAddr(); err != nil {
			return nil, err
		}
	}
	upstream, listener := to.addr, addrs[0]
	if keys != nil {
		listener += securedListener(keys)
		to.ca = keys.CA
	}
	text := fmt.Sprintf("listeners:\n  - address: %s\nupstream:\n  address: %s\n  password: %q\n"+
		"admin:\n  address: %s\n  password: operator\n  http: off\n", listener, upstream, to.password, addrs[1])
	config := filepath.Join(dir, "holdfast.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	to.addr, to.console = addrs[0], addrs[1]
	return harness.Start(dir, "proxy", to.addr, program, "serve", "--config", config)
}
