package main

import (
	"testing"

	"holdfast/loadtest/harness"
)

func root(t *testing.T) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// buildProxy builds the proxy as it ships, without the race detector, which has memory of its own.
func buildProxy(t *testing.T) string {
	t.Helper()
	path, err := harness.BuildProxy(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The same bounds as `make soak`, with fewer connections. The first third lets the heap grow to where
// the collector first runs, which takes some 2,500 connections; from there on memory is flat.
func TestSoakSmall(t *testing.T) {
	proxy := buildProxy(t)
	t.Run("churn", func(t *testing.T) {
		err := withStack(root(t), t.TempDir(), proxy, false, func(s *stack) error {
			r, err := churn(t.Context(), s, 9000, 8)
			if err != nil {
				return err
			}
			t.Log(r)
			return r.check()
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("idle", func(t *testing.T) {
		err := withStack(root(t), t.TempDir(), proxy, false, func(s *stack) error {
			r, err := idle(t.Context(), s, 2000)
			if err != nil {
				return err
			}
			t.Log(r)
			return r.check(40)
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("idle with TLS", func(t *testing.T) {
		err := withStack(root(t), t.TempDir(), proxy, true, func(s *stack) error {
			r, err := idle(t.Context(), s, 500)
			if err != nil {
				return err
			}
			t.Log(r)
			return r.check(60)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Every visit is one that a server itself accepts, so that a failing one is the proxy's fault.
func TestVisitsWithoutProxy(t *testing.T) {
	server, addr, err := harness.StartValkey(root(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	for i, v := range visits {
		t.Run(v.name, func(t *testing.T) {
			if err := visit(addr, i); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	flat := churnResult{rssFirst: 20 << 20, rssLast: 21 << 20, filesBefore: 12, files: 14,
		clientsBefore: 3, clients: 3}
	tests := []struct {
		name string
		grow func(*churnResult)
		ok   bool
	}{
		{"flat", func(*churnResult) {}, true},
		{"memory", func(r *churnResult) { r.rssLast = 27 << 20 }, false},
		{"files", func(r *churnResult) { r.files = 100 }, false},
		{"links", func(r *churnResult) { r.clients = 100 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := flat
			tt.grow(&r)
			if err := r.check(); (err == nil) != tt.ok {
				t.Errorf("check = %v, want ok %v", err, tt.ok)
			}
		})
	}
	if err := (idleResult{connections: 10, rssHeld: 61 << 20}).check(60); err == nil {
		t.Error("61 MiB pass a limit of 60")
	}
}
