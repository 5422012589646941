package proxy_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// slowly is a way to a server on which one connection's requests flow at some tens of kB a second once they are long,
// as on a slow network.
func slowly(t *testing.T, server string) (addr string) {
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
		if failed != nil {
			return failed
		}
		return err
	}}
	l, err := small.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go carrySlowly(client, server)
		}
	}()
	return l.Addr().String()
}

func carrySlowly(client net.Conn, server string) {
	defer client.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		defer client.Close()
		_, _ = up.(*net.TCPConn).WriteTo(client)
	}()
	buf, total := make([]byte, 16<<10), 0
	for {
		n, err := client.Read(buf)
		if total += n; total > 100<<10 {
			time.Sleep(100 * time.Millisecond)
		}
		if _, werr := up.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// A request of megabytes on a slow network is no silence: its link is kept for as long as the server receives.
func TestSlowNetworkLosesNoLink(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, slowly(t, srv.Addr))
	beside := dial(t, addr)
	c := dial(t, addr)
	value := strings.Repeat("x", 600<<10)
	answered := make(chan string)
	go func() {
		c.send(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n", len(value), value))
		answered <- c.reply()
	}()
	others := time.NewTicker(20 * time.Millisecond)
	defer others.Stop()
	for {
		select {
		case got := <-answered:
			if got != "+OK\r\n" || srv.MustDo("STRLEN", "k") != int64(len(value)) {
				t.Errorf("got %q", got)
			}
			return
		case <-others.C: // the server answers others all the time
			if got := beside.do("GET other"); got != "$-1\r\n" {
				t.Fatalf("got %q", got)
			}
		}
	}
}
