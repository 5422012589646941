package main

import (
	"strings"
	"testing"

	"holdfast/configs"
	"holdfast/loadtest/harness"
)

func TestTLSReport(t *testing.T) {
	good, bad := cell{"SET", 1, 50}, cell{"GET", 16, 50}
	proxy := &harness.Process{}
	targets := []*target{{name: "direct"}, {name: directTLS}, {name: haproxyTLS, proxy: proxy},
		{name: "holdfast", proxy: proxy}, {name: frontTLS, proxy: proxy}}
	b := newBench("", targets, []cell{good, bad}, 1)
	for k, s := range map[key]sample{
		{"direct", good}: {1000, 0, 5}, {directTLS, good}: {500, 0, 12}, {haproxyTLS, good}: {400, 20, 5},
		{"holdfast", good}: {900, 6, 2}, {frontTLS, good}: {600, 8.4, 2},
		{"direct", bad}: {9000, 0, 1}, {directTLS, bad}: {5000, 0, 2}, {haproxyTLS, bad}: {4000, 1, 1},
		{"holdfast", bad}: {9000, 0.5, 1}, {frontTLS, bad}: {6000, 1.1, 1},
	} {
		b.samples[k] = []sample{s}
	}
	text := b.reportTLS("Here.\n")
	for _, want := range []string{
		"| at most 1.5 of plain | 1 | 1 of 1 |  |",
		"| at most 1.6 of plain | 16 | 0 of 1 | GET depth 16 × 50: 2.20 |",
		"| below HAProxy's | all | 1 of 2 | GET depth 16 × 50: 1.10 |",
		"| below that of the whole server with TLS | all | 2 of 2 |  |",
		"| SET | 1 | 50 | holdfast-tls | 600 | 0.67 | 8.40 | 1.40 | 2.00 |",
		"| SET | 1 | 50 | direct-tls | 500 | 0.50 |  |  | 12.00 |",
		"| SET | 1 | 50 | holdfast | 900 |  | 6.00 |  | 2.00 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in:\n%s", want, text)
		}
	}
}

func TestSecureConfig(t *testing.T) {
	for _, name := range []string{frontTLS, bothTLS} {
		tt := &target{name: name, keys: &harness.Keys{CA: "ca", Cert: "c", Key: "k"}, secure: "127.0.0.1:7",
			server: &harness.Process{Addr: "127.0.0.1:6"}}
		c, err := configs.Parse("f", []byte(tt.secureConfig("127.0.0.1:1", "127.0.0.1:2")))
		if err != nil {
			t.Fatal(err)
		}
		if c.Listeners[0].TLS == nil || (c.Upstream.TLS != nil) != (name == bothTLS) {
			t.Errorf("%s: %v", name, c)
		}
	}
}

func TestMarginalCost(t *testing.T) {
	whole, part := cost{1000, 3, 900, 300}, cost{250, 1.5, 400, 100}
	if got, want := whole.less(part), (cost{requests: 750, proxy: 500, server: 200}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
