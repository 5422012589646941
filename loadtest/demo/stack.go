package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"holdfast/loadtest/harness"
)

// stack is a private server with the proxy in front of it.
type stack struct {
	server, proxy  *harness.Process
	console, audit string
}

// config is the proxy's: the README's example, and an audit log.
const config = `listeners:
  - address: %s
upstream:
  address: %s
admin:
  address: %s
  http: off
rules:
  - name: flush
    commands: [flushall, flushdb]
    action: trash
    keep: 24h
    limit: {rate: 1/m, burst: 1, per: user}
audit:
  file: %s
`

// withStack calls f with a fresh server and proxy, whose logs are in dir, and stops both.
func withStack(root, dir, proxy string, f func(*stack) error) error {
	program, err := harness.Program(root, "valkey", "valkey-server")
	if err != nil {
		return err
	}
	var addrs [3]string
	for i := range addrs {
		if addrs[i], err = harness.FreeAddr(); err != nil {
			return err
		}
	}
	_, port, _ := net.SplitHostPort(addrs[0])
	server, err := harness.Start(dir, "server", addrs[0], program, "--port", port,
		"--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes")
	if err != nil {
		return err
	}
	defer server.Stop()
	s := &stack{server: server, console: addrs[2], audit: filepath.Join(dir, "audit.log")}
	file := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf(config, addrs[1], addrs[0], addrs[2], s.audit)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	s.proxy, err = harness.Start(dir, "proxy", addrs[1], proxy, "serve", "--config", file)
	if err != nil {
		return err
	}
	defer s.proxy.Stop()
	return f(s)
}
