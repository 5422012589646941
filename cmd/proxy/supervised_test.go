package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// The service manager hears of the start, of signs of life, of a reload and of the end.
func TestServeNotifiesTheServiceManager(t *testing.T) {
	dir, err := os.MkdirTemp("", "hf") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_USEC", "300000")
	// await receives until a message begins with want, and fails at one that begins with not.
	await := func(want, not string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			if err := conn.SetReadDeadline(time.Now().Add(proxytest.PollTimeout)); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no %s: %v", want, err)
			}
			switch got := string(buf[:n]); {
			case strings.HasPrefix(got, want):
				return
			case strings.HasPrefix(got, not):
				t.Fatalf("%q before %s", got, want)
			}
		}
	}
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
