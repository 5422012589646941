package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"strconv"

	"holdfast/loadtest/harness"
)

// stack is a private server with the proxy in front of it.
type stack struct {
	server *harness.Process
	proxy  *harness.Process
	tls    *tls.Config // of its clients; nil: plain
}

// maxClients exceeds the connections of any soak.
const maxClients = 50000

// withStack calls f with a fresh server and proxy, whose logs are in dir, and stops both. secured: the
// proxy's clients speak TLS.
func withStack(root, dir, proxy string, secured bool, f func(*stack) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	server, addr, err := harness.StartValkey(root, dir)
	if err != nil {
		return err
	}
	defer server.Stop()
	s := &stack{server: server}
	listener := ""
	if secured {
		if listener, err = s.secure(dir); err != nil {
			return err
		}
	}
	if s.proxy, err = startProxy(dir, proxy, addr, listener); err != nil {
		return err
	}
	defer s.proxy.Stop()
	return f(s)
}

// secure makes the keys, and returns the listener's in the proxy's configuration.
func (s *stack) secure(dir string) (string, error) {
	keys, err := harness.NewKeys(dir)
	if err != nil {
		return "", err
	}
	if s.tls, err = harness.Trusting(keys.CA); err != nil {
		return "", err
	}
	return fmt.Sprintf("\n    tls: {cert: %q, key: %q}", keys.Cert, keys.Key), nil
}

// startProxy runs the proxy with its default rules and metrics, and room for all clients.
func startProxy(dir, program, upstream, listener string) (*harness.Process, error) {
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
	config, err := harness.ProxyConfig(dir, addr+listener, upstream, http, limits)
	if err != nil {
		return nil, err
	}
	return harness.Start(dir, "proxy", addr, program, "serve", "--config", config)
}

// serverClients asks the server itself for its number of clients, including this connection.
func (s *stack) serverClients() (int, error) {
	c, err := harness.DialClient(s.server.Addr, replyTimeout)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	n, err := c.Info("clients", "connected_clients")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(n)
}
