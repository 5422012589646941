package local_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/proxy/proxytest/local"
)

// A filter that waits at the end of a connection holds that end back, as a stalled network does.
func TestFilterHoldsTheEnd(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	met, release := make(chan struct{}), make(chan struct{})
	var released atomic.Bool
	hold := func(data []byte) ([]byte, bool) {
		if len(data) == 0 {
			close(met)
			<-release
		}
		return data, true
	}
	r, err := local.StartRelay(func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) },
		func(p *local.Pair) { p.Pass(hold, nil) })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	client, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	select {
	case <-met:
	case <-time.After(time.Minute):
		t.Fatal("the filter has not met the end")
	}
	go func() {
		released.Store(true)
		close(release)
	}()
	got, err := io.ReadAll(conn)
	if string(got) != "PING\r\n" || err != nil || !released.Load() {
		t.Errorf("got %q, %v; released: %v", got, err, released.Load())
	}
}
