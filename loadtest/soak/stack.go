package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"holdfast/loadtest/harness"
)

// stack is a private server with the proxy in front of it.
type stack struct {
	server *harness.Process
	proxy  *harness.Process
}

// maxClients exceeds the connections of any soak.
const maxClients = 50000

// withStack calls f with a fresh server and proxy, whose logs are in dir, and stops both.
func withStack(root, dir, proxy string, f func(*stack) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	server, addr, err := harness.StartValkey(root, dir)
	if err != nil {
		return err
	}
	defer server.Stop()
	p, err := startProxy(dir, proxy, addr)
	if err != nil {
		return err
	}
	defer p.Stop()
	return f(&stack{server: server, proxy: p})
}

// startProxy runs the proxy with its default rules and metrics, and room for all clients.
func startProxy(dir, program, upstream string) (*harness.Process, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%s is not there; run make build", program)
	}
	addr, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	http, err := harness.FreeAddr()
	if err != nil {
		return nil, err
	}
	limits := fmt.Sprintf("limits:\n  max_clients: %d\n", maxClients)
	config, err := harness.ProxyConfig(dir, addr, upstream, http, limits)
	if err != nil {
		return nil, err
	}
	return harness.Start(dir, "proxy", addr, program, "serve", "--config", config)
}

// serverClients asks the server itself for its number of clients, including this connection.
func (s *stack) serverClients() (int, error) {
	c, err := dial(s.server.Addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	info, err := c.bulk("INFO", "clients")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if n, found := strings.CutPrefix(line, "connected_clients:"); found {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("no connected_clients in INFO")
}
