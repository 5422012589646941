package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"holdfast/loadtest/harness"
)

// The attacks on TLS ports, and the TLS of the well-behaved clients.

const (
	// handshakers clients make handshakeRate handshakes a second together.
	handshakers   = 40
	handshakeRate = 1000
)

// shaken counts the handshakes of this process.
var shaken atomic.Int64

// dial opens a well-behaved client's connection.
func (to target) dial() (net.Conn, error) {
	d := &net.Dialer{Timeout: calmPatience}
	if to.ca == "" {
		return d.Dial("tcp", to.addr)
	}
	config, err := harness.Trusting(to.ca)
	if err != nil {
		return nil, err
	}
	return tls.DialWithDialer(d, "tcp", to.addr, config)
}

// shake makes handshakes at its share of the rate, until one fails.
func shake(ctx context.Context, to target, i int) error {
	config, err := harness.Trusting(to.ca)
	if err != nil {
		return err
	}
	const every = time.Second * handshakers / handshakeRate
	pause(ctx, every*time.Duration(i)/handshakers)
	for due := time.Now(); ctx.Err() == nil; due = due.Add(every) {
		pause(ctx, time.Until(due))
		c, end, err := connect(ctx, to.addr)
		if err != nil {
			return err
		}
		secure := tls.Client(c, config)
		err = say(secure, bufio.NewReader(secure), 1, command("PING"))
		end()
		if err != nil {
			return err
		}
		shaken.Add(1)
	}
	return nil
}

// beginShake sends the head of a ClientHello's record and waits.
func beginShake(ctx context.Context, to target, _ int) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	if _, err := c.Write([]byte{22, 3, 1, 1, 0, 1}); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// securedServer is the server's arguments for a TLS port, and its address.
func securedServer(k *harness.Keys) (args []string, addr string, err error) {
	if addr, err = harness.FreeAddr(); err != nil {
		return nil, "", err
	}
	_, port, err := net.SplitHostPort(addr)
	return []string{"--tls-port", port, "--tls-cert-file", k.Cert, "--tls-key-file", k.Key,
		"--tls-ca-cert-file", k.CA, "--tls-auth-clients", "no", "--maxclients", "20000"}, addr, err
}

// securedListener is a listener's tls key in the proxy's configuration.
func securedListener(k *harness.Keys) string {
	return fmt.Sprintf("\n    tls: {cert: %q, key: %q}", k.Cert, k.Key)
}
