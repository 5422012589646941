package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// serviceManager makes this test the service manager of the processes that it starts. The returned function receives
// until a message begins with want, returns the rest of it, and fails at one that begins with not.
func serviceManager(t *testing.T) (await func(want, not string) string) {
	t.Helper()
	address := filepath.Join(proxytest.ShortDir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_USEC", "300000")
	return func(want, not string) string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(proxytest.PollTimeout)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no %s: %v", want, err)
			}
			if rest, ok := strings.CutPrefix(string(buf[:n]), want); ok {
				return rest
			}
			if strings.HasPrefix(string(buf[:n]), not) {
				t.Fatalf("%q before %s", buf[:n], want)
			}
		}
	}
}

// The service manager hears of the start, of signs of life, of a reload and of the end.
func TestServeNotifiesTheServiceManager(t *testing.T) {
	await := serviceManager(t)
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "")
	await("READY=1", "WATCHDOG=1")
	if err := p.do("PING"); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
	await("STATUS=ready", "STOPPING=1")
	await("WATCHDOG=1", "STOPPING=1")
	await("WATCHDOG=1", "STOPPING=1")
	p.signal(syscall.SIGHUP)
	await("RELOADING=1", "READY=1")
	await("READY=1", "STOPPING=1")
	p.signal(syscall.SIGTERM)
	await("STOPPING=1", "READY=1")
	p.expectExit(exitDone)
}

// A process that serves again gives no sign of life before its listeners accept.
func TestNoSignsOfLifeBeforeTheListeners(t *testing.T) {
	serviceManager(t)
	s := newSupervision(slog.New(slog.DiscardHandler))
	defer s.notify.Close()
	s.begin()
	s.ready()
	s.begin()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		s.watch(ctx, nil) // it would ask no server
	}
}

// A wait between two runs gives signs of life and its reason, until its time is over: then the service manager may
// end it.
func TestSignsOfLifeDuringAWait(t *testing.T) {
	await := serviceManager(t)
	s := newSupervision(slog.New(slog.DiscardHandler))
	defer s.notify.Close()
	s.during("waiting for the journal", time.Hour, func() {
		await("STATUS=waiting for the journal", "WATCHDOG=1")
		for range 3 {
			await("WATCHDOG=1", "STOPPING=1")
		}
	})
	s.during("still", 0, func() { await("STATUS=still", "STOPPING=1") })
	s.said(s.notify.Ready())
	await("READY=1", "WATCHDOG=1")
}
