package replay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// plan works out a plan for the end.
func (r *recording) plan(skips ...replay.Skip) *replay.Plan {
	r.t.Helper()
	end := r.locate(replay.Selector{}) // first: the server's PING may come at any time
	plan, err := replay.NewPlan(context.Background(), r.view(), end, skips)
	if err != nil {
		r.t.Fatal(err)
	}
	return plan
}

// small is a recording of one key.
func small(t *testing.T) *recording {
	t.Helper()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "k", "v")
	r.caughtUp()
	return r
}

func port(srv *proxytest.Server) string {
	_, port, _ := strings.Cut(srv.Addr, ":")
	return port
}

func TestTargetsRefused(t *testing.T) {
	t.Parallel()
	r := small(t)
	for _, row := range []struct {
		name  string
		args  []string
		setup [][]any
		force bool
		want  error
	}{
		{"a key", nil, [][]any{{"SET", "k", 1}}, false, replay.ErrNotEmpty},
		{"a key elsewhere", nil, [][]any{{"COPY", "k", "k2"}, {"SET", "k", 1}, {"MOVE", "k", 3}}, false,
			replay.ErrNotEmpty},
		{"a function", nil, [][]any{{"FUNCTION", "LOAD",
			"#!lua name=l\nredis.register_function('f', function() return 1 end)"}}, false,
			replay.ErrNotEmpty},
		{"a replica", nil, [][]any{{"REPLICAOF", "127.0.0.1", port(r.srv)}}, true, replay.ErrTarget},
		{"a cluster node", []string{"--cluster-enabled", "yes"}, nil, true, replay.ErrTarget},
	} {
		t.Run(row.name, func(t *testing.T) {
			dst := proxytest.StartServer(t, append(row.args, serverArgs...)...)
			for _, c := range row.setup {
				dst.MustDo(c...)
			}
			_, err := replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
				View: r.view(), Target: dst.Addr, Force: row.force})
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

// TestRecordedServerAsTarget: the server that is being recorded goes back in time only by force,
// even where it is empty.
func TestRecordedServerAsTarget(t *testing.T) {
	t.Parallel()
	r := small(t)
	plan := r.plan()
	r.srv.MustDo("FLUSHALL")
	o := replay.RestoreOptions{View: r.view(), Plan: plan, Target: r.srv.Addr}
	if _, err := replay.Restore(context.Background(), o); !errors.Is(err, replay.ErrRecorded) {
		t.Errorf("got %v, want %v", err, replay.ErrRecorded)
	}
	if role := r.srv.Info("replication")["role"]; role != "master" {
		t.Errorf("it is a %s now", role)
	}
	o.Force = true
	if _, err := replay.Restore(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if r.srv.MustDo("GET", "k") != "v" {
		t.Error("nothing came back")
	}
}

// TestTargetThatWouldEvict holds everything, and is not promoted before it can keep it.
func TestTargetThatWouldEvict(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := record(t, srv)
		for i := range 100 {
			srv.MustDo("SET", "k"+strconv.Itoa(i), strings.Repeat("x", 100_000))
		}
		r.caughtUp()
		want := digest(srv)
		dst := proxytest.Spec{Kind: srv.Binary.Kind, Args: append([]string{"--maxmemory", "5mb",
			"--maxmemory-policy", "allkeys-lru"}, serverArgs...)}.Start(t)
		o := replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr}
		if _, err := replay.Restore(context.Background(), o); !errors.Is(err, replay.ErrTooSmall) {
			t.Fatalf("got %v, want %v", err, replay.ErrTooSmall)
		}
		dst.MustDo("CONFIG", "SET", "maxmemory", 0)
		dst.MustDo("REPLICAOF", "NO", "ONE")
		if got := digest(dst); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}, serverArgs...)
}

// TestUserWithoutPassword is himself, not the default user.
func TestUserWithoutPassword(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := proxytest.StartServer(t, serverArgs...)
	dst.MustDo("ACL", "SETUSER", "nobody", "on", "nopass", "+ping")
	dst.MustDo("ACL", "SETUSER", "somebody", "on", "nopass", "+info", "+replicaof")
	o := replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr, Username: "nobody"}
	if _, err := replay.Restore(context.Background(), o); !errors.Is(err, replay.ErrTarget) {
		t.Errorf("got %v, want a refusal", err)
	}
	o.Username = "somebody"
	if _, err := replay.Restore(context.Background(), o); err != nil {
		t.Error(err)
	}
}

func TestTargetWithUserOnUnixSocket(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := proxytest.Spec{Unix: true, Args: append([]string{"--masterauth", "whatever"},
		serverArgs...)}.Start(t)
	dst.MustDo("ACL", "SETUSER", "restorer", "on", ">secret", "+info", "+replicaof")
	o := replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr,
		Username: "restorer", Password: "wrong"}
	if _, err := replay.Restore(context.Background(), o); err == nil {
		t.Error("restored with a wrong password")
	}
	o.Password = "secret"
	res, err := replay.Restore(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if dst.MustDo("GET", "k") != "v" || res.ReplID != r.srv.Info("replication")["master_replid"] {
		t.Errorf("k is %v, history %s", dst.MustDo("GET", "k"), res.ReplID)
	}
	// The target says truly which history it continues.
	if id := dst.Info("replication")["master_replid2"]; id != res.ReplID {
		t.Errorf("the target continues %s, want %s", id, res.ReplID)
	}
}

// TestTargetOfOlderVersion does not know the format.
func TestTargetOfOlderVersion(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "redis", Args: serverArgs}.Start(t)
	r := record(t, srv)
	dst := proxytest.Spec{Kind: "redis7", Args: serverArgs}.Start(t)
	_, err := replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
		View: r.view(), Target: dst.Addr})
	if !errors.Is(err, replay.ErrRejected) || !strings.Contains(err.Error(), "7.0.15") {
		t.Errorf("got %v, want ErrRejected with the version", err)
	}
}

// TestRestoreSurvivesCut cuts the way of the data in the middle of the stream: once the base is
// there, the target continues.
func TestRestoreSurvivesCut(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	for range 200 {
		srv.MustDo("APPEND", "k", strings.Repeat("x", 10_000))
	}
	want := digest(srv)
	r.caughtUp()
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + itoa(port)
	relay := proxytest.StartFaultProxy(t, address)
	dst := r.fresh()
	got := ""
	relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "PSYNC",
		After: 500_000})
	_, err = replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
		View: r.view(), Target: dst.Addr, Listen: address, Advertise: relay.Addr, Logger: logger(),
		Inspect: func(context.Context) error { got = digest(dst); return nil },
		Progress: func(p replay.Progress) {
			if p.Attempts > 1 {
				t.Errorf("%d full resyncs, want 1", p.Attempts)
			}
		}})
	if err != nil || got != want {
		t.Errorf("digest %s (%v), want %s", got, err, want)
	}
	if relay.Fired() != 1 {
		t.Errorf("cut %d times, want 1", relay.Fired())
	}
}

// TestRestoreGivenUp ends before the target has come: it is as it was.
func TestRestoreGivenUp(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := r.fresh()
	dst.MustDo("SET", "mine", 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	told := ""
	_, err := replay.Restore(ctx, replay.RestoreOptions{Plan: r.plan(), View: r.view(),
		Target: dst.Addr, Advertise: "127.0.0.1:1", Force: true,
		Progress: func(p replay.Progress) { told = p.Address; cancel() }})
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Errorf("got %v, want that it was interrupted", err)
	}
	if told != "127.0.0.1:1" {
		t.Errorf("nobody was told where the target should come: %q", told)
	}
	if role := dst.Info("replication")["role"]; role != "master" || dst.MustDo("GET", "mine") != "1" {
		t.Errorf("the target is a %s and has mine = %v", role, dst.MustDo("GET", "mine"))
	}
}

// TestPromotedAtThePoint: a target whose link is up has still most of the stream to go.
func TestPromotedAtThePoint(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	value := strings.Repeat("x", 200_000)
	for i := range 200 {
		srv.MustDo("SET", "k"+strconv.Itoa(i), value)
	}
	r.caughtUp()
	dst, plan := r.fresh(), r.plan()
	_, err := replay.Restore(context.Background(), replay.RestoreOptions{View: r.view(), Plan: plan,
		Target: dst.Addr, Inspect: func(context.Context) error {
			if at := dst.Info("replication")["slave_repl_offset"]; at != strconv.FormatInt(plan.End(), 10) {
				return fmt.Errorf("it is at %s", at)
			}
			return nil
		}})
	if err != nil || digest(dst) != digest(srv) {
		t.Errorf("%v; want the target at %d with the same digest", err, plan.End())
	}
}

func TestRestoreFailsHalfWay(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := r.fresh()
	stop := errors.New("not good enough")
	_, err := replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
		View: r.view(), Target: dst.Addr, Inspect: func(context.Context) error { return stop }})
	if !errors.Is(err, stop) || dst.Info("replication")["role"] != "slave" {
		t.Errorf("got %v, the target is a %s", err, dst.Info("replication")["role"])
	}
}

func TestListenEverywhere(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := r.fresh()
	_, err := replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
		View: r.view(), Target: dst.Addr, Listen: ":0"})
	if err != nil || dst.MustDo("GET", "k") != "v" {
		t.Errorf("k is %v (%v)", dst.MustDo("EXISTS", "k"), err)
	}
}

// TestSlowTargetsAreTold of what makes them slow; others are told nothing.
func TestSlowTargetsAreTold(t *testing.T) {
	t.Parallel()
	r := small(t)
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"plain", nil, ""},
		{"append-only file", []string{"--appendonly", "yes"}, "appendonly"},
		{"replica", nil, "replicas=1"},
	} {
		dst := proxytest.StartServer(t, append(row.args, serverArgs...)...)
		if row.name == "replica" {
			host, port, _ := strings.Cut(dst.Addr, ":")
			proxytest.StartServer(t, append([]string{"--replicaof", host + " " + port}, serverArgs...)...)
			proxytest.Poll(t, "a replica", func() bool {
				info, _ := dst.MustDo("INFO", "replication").(string)
				return strings.Contains(info, "connected_slaves:1")
			})
		}
		var said strings.Builder
		_, err := replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
			View: r.view(), Target: dst.Addr,
			Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		if err != nil {
			t.Fatal(row.name, err)
		}
		if row.want == "" && said.Len() > 0 || !strings.Contains(said.String(), row.want) {
			t.Errorf("%s: said %q, want %q", row.name, said.String(), row.want)
		}
		if got := dst.MustDo("GET", "k"); got != "v" {
			t.Errorf("%s: k is %v", row.name, got)
		}
	}
}
