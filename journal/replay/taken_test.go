package replay_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// TestDiverged: a target that could not execute all of the stream is not promoted. Its user may not
// ask what it knows, so that it shows only afterwards.
func TestDiverged(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "k", 1)
	srv.MustDo("FLUSHALL")
	srv.MustDo("SET", "k", 2)
	r.caughtUp()
	dst := proxytest.StartServer(t, append([]string{"--rename-command", "FLUSHALL", ""},
		serverArgs...)...)
	dst.MustDo("ACL", "SETUSER", "restorer", "on", "nopass", "+info", "+replicaof")
	err := r.restoreInto(dst, func(o *replay.RestoreOptions) { o.Username = "restorer" })
	if !errors.Is(err, replay.ErrDiverged) || !strings.Contains(err.Error(), "1 command with an error") {
		t.Errorf("got %v, want %v", err, replay.ErrDiverged)
	}
	if role := dst.Info("replication")["role"]; role != "slave" {
		t.Errorf("it is a %s", role)
	}
	// What it holds cannot be continued, either.
	if err := r.restoreInto(dst, func(o *replay.RestoreOptions) { o.Username = "restorer" }); !errors.Is(
		err, replay.ErrDiverged) {
		t.Errorf("the second time: %v", err)
	}
}

// TestTaken: a target that becomes something else in the middle ends the restore, and is left as it
// is, also when the restore is interrupted just then.
func TestTaken(t *testing.T) {
	t.Parallel()
	r := small(t)
	other := proxytest.StartServer(t, serverArgs...)
	other.MustDo("SET", "other", 1)
	for _, row := range []struct {
		name string
		take func(dst *proxytest.Server)
		text string
		role string
	}{
		{"promoted", func(dst *proxytest.Server) { dst.MustDo("REPLICAOF", "NO", "ONE") },
			"the target is a primary and holds db0: 1 key; it was left", "master"},
		{"other primary", func(dst *proxytest.Server) {
			dst.MustDo("REPLICAOF", "127.0.0.1", port(other))
		}, "the target is a replica of " + other.Addr, "slave"},
		{"restarted", func(dst *proxytest.Server) { dst.Restart() },
			"the target is a primary since its restart and holds no keys", "master"},
	} {
		for _, interrupted := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				dst := r.fresh()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				_, err := replay.Restore(ctx, replay.RestoreOptions{Plan: r.plan(), View: r.view(),
					Target: dst.Addr, Inspect: func(context.Context) error {
						row.take(dst)
						if interrupted {
							cancel()
						}
						return nil
					}})
				if interrupted != errors.Is(err, context.Canceled) || !interrupted &&
					!errors.Is(err, replay.ErrTaken) && row.name != "restarted" {
					t.Errorf("got %v", err)
				}
				if err == nil || !strings.Contains(err.Error(), row.text) {
					t.Errorf("got %v\nwant %q in it", err, row.text)
				}
				if got := dst.Info("replication")["role"]; got != row.role {
					t.Errorf("it is a %s now, want %s", got, row.role)
				}
			})
		}
	}
}

// TestStrangers: what comes in the place of the target is reported, and does no harm.
func TestStrangers(t *testing.T) {
	t.Parallel()
	r := small(t)
	for _, row := range []struct{ sent, text string }{
		{"GET / HTTP/1.1\r\n\r\n", "GET"},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "TLS"},
		{"*1\r\n$7\r\nFLUSHME\r\n", "FLUSHME"},
		{"*99999999999\r\n", "protocol error"},
	} {
		dst := r.fresh()
		var said strings.Builder
		came := make(chan struct{})
		o := replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr, Listen: "127.0.0.1:0",
			Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		o.Progress = func(p replay.Progress) {
			select {
			case <-came:
				return
			default:
			}
			close(came)
			conn, err := net.Dial("tcp", p.Address)
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, row.sent)
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn) // until the other side has done with it
			conn.Close()
		}
		if _, err := replay.Restore(ctx, o); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), "does not replicate") ||
			!strings.Contains(said.String(), row.text) {
			t.Errorf("%q: said %q, want %q", row.sent, said.String(), row.text)
		}
	}
}
