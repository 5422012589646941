package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"holdfast/configs"
)

const (
	readyTime  = 3 * time.Second
	readyBytes = 64 << 10
)

// checkReady asks the proxy that serves this configuration whether it is ready, as an orchestrator does by
// /readyz. It is for images without a shell, and for admin.http on a unix socket.
func checkReady(ctx context.Context, r *report, path string) {
	c, err := configs.Load(path)
	if err != nil {
		r.fail("config", "%v", err)
		return
	}
	if c.Admin.HTTP == "" {
		r.fail("ready", "admin.http is off: there is no address to ask")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	code, text, err := askReady(ctx, c)
	if err != nil {
		r.fail("ready", "%v", err)
		return
	}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		switch line = strings.TrimSpace(line); {
		case code != http.StatusOK:
			r.fail("ready", "%s", line)
		case strings.HasPrefix(line, "degraded: "):
			r.warn("ready", "%s", line)
		default:
			r.ok("ready", "%s", line)
		}
	}
}

// askReady gets /readyz. The certificate is not verified, as by the probes of Kubernetes: the process is asked
// for one word at its own address.
func askReady(ctx context.Context, c *configs.Config) (code int, text string, err error) {
	network, address := "tcp", reachable(c.Admin.HTTP)
	if path, unix := strings.CutPrefix(c.Admin.HTTP, "unix:"); unix {
		network, address = "unix", path
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer t.CloseIdleConnections()
	url := "http://localhost/readyz"
	if c.Admin.TLS != nil {
		url = "https://localhost/readyz"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, readyBytes))
	return resp.StatusCode, string(body), err
}
