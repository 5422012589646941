package tap_test

import (
	"context"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// TestHurry leaves bytes in the socket for an hour, unless someone waits for them.
func TestHurry(t *testing.T) {
	t.Parallel()
	// No PING may come, which would be read instead of the first write.
	srv := proxytest.StartServer(t, append([]string{"--repl-ping-replica-period", "3600"},
		serverArgs...)...)
	r := newRig(t, srv.Addr)
	r.opts.Pace = time.Hour
	r.start().attached()
	srv.MustDo("SET", "k", 1) // is read at once, and begins the pause
	first := offset(srv)
	proxytest.Poll(t, "the first write", func() bool { return r.j.Durable().Offset >= first })
	srv.MustDo("SET", "k", 2)
	second := offset(srv)
	if at := r.j.Received().Offset; at >= second {
		t.Errorf("received %d while nobody waits, want less than %d", at, second)
	}
	r.tap.Hurry()
	r.caughtUp(srv)
	// While it is in force there is no pause: WAIT, which is a hurry as well, is quick.
	conn := srv.Client().Conn()
	defer conn.Close()
	for n := range 5 {
		if err := conn.Set(context.Background(), "k", n, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if v, err := conn.Do(context.Background(), "WAIT", 1, 10_000).Result(); err != nil ||
			v != int64(1) {
			t.Fatalf("WAIT says %v (%v)", v, err)
		}
	}
}

func BenchmarkHurry(b *testing.B) {
	srv := proxytest.StartServer(b, serverArgs...)
	r := newRig(b, srv.Addr).start().attached()
	b.ReportAllocs()
	for b.Loop() {
		r.tap.Hurry()
	}
}
