package systemd

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"holdfast/proxy/proxytest"
)

// manager listens as the service manager does, and returns what it received.
func manager(t *testing.T) (receive func() string) {
	t.Helper()
	address := filepath.Join(proxytest.ShortDir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestNotifier(t *testing.T) {
	receive := manager(t)
	n, err := FromEnv()
	if err != nil || n == nil {
		t.Fatal(n, err)
	}
	defer n.Close()
	for _, step := range []struct {
		send func() error
		want string
	}{
		{n.Ready, `READY=1`},
		{n.Reloading, `RELOADING=1(\nMONOTONIC_USEC=\d+)?`},
		{n.Stopping, `STOPPING=1`},
		{n.Alive, `WATCHDOG=1`},
		{func() error { return n.Status("not ready:\nupstream") }, `STATUS=not ready:; upstream`},
	} {
		if err := step.send(); err != nil {
			t.Fatal(err)
		}
		if got := receive(); !regexp.MustCompile(`^` + step.want + `$`).MatchString(got) {
			t.Errorf("got %q, want %s", got, step.want)
		}
	}
	if err := n.Status(strings.Repeat("ü", maxStatus)); err != nil {
		t.Fatal(err)
	}
	if got := receive(); len(got) > maxStatus+20 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("a long status: %q", got)
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := FromEnv()
	if n != nil || err != nil {
		t.Fatal(n, err)
	}
	for _, err := range []error{n.Ready(), n.Reloading(), n.Stopping(), n.Alive(), n.Status("x"), n.Main(1), n.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	if n.Watchdog() != 0 {
		t.Error("a watchdog without a manager")
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	if _, err := FromEnv(); err == nil {
		t.Error("there is no such socket")
	}
}

func TestWatchdogFromEnv(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, tc := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"x", "", 0}, {"-1", "", 0}, {"30000000", "", 30 * time.Second},
		{"30000000", own, 30 * time.Second}, {"30000000", "1" + own, 0},
	} {
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		if got := watchdogFromEnv(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
