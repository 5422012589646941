package proxy

import (
	"context"
	"net"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// How long a session that ends waits for its client to close: briefly in a drain, where that would
// otherwise be a second for every idle client.
func TestLinger(t *testing.T) {
	t.Parallel()
	up := proxytest.StartServer(t)
	srv, err := New(Options{
		Listeners: []Listener{{Address: "127.0.0.1:0"}}, Upstream: upstream.Options{Address: up.Addr},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-srv.started
	nc, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	proxytest.Poll(t, "the session is there", func() bool { return srv.sessionCount.Load() == 1 })
	for _, step := range []struct {
		draining bool
		unread   int // bytes; more than the kernel takes
		want     time.Duration
	}{
		{false, 0, lingerTime}, {true, 0, drainLinger}, {true, 64 << 20, lingerTime},
	} {
		got, err := gather(ctx, srv.loops, func(w *worker) time.Duration {
			defer func(was bool) { w.draining = was }(w.draining)
			w.draining = step.draining
			for _, s := range w.sessions {
				s.conn.Write(make([]byte, step.unread))
				return s.linger()
			}
			return 0
		})
		if err != nil || got[0] != step.want {
			t.Errorf("%+v: got %v, %v", step, got, err)
		}
	}
}
