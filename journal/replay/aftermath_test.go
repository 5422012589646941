package replay_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// halves records a thousand keys in a base and a thousand in the stream behind it, and gives the digest
// of all.
func halves(t *testing.T) (*recording, string) {
	t.Helper()
	srv := proxytest.StartServer(t, serverArgs...)
	for i := range 1000 {
		srv.MustDo("SET", "base:"+itoa(i), strings.Repeat("x", 60)+itoa(i))
	}
	r := record(t, srv)
	for i := range 1000 {
		srv.MustDo("SET", "stream:"+itoa(i), strings.Repeat("x", 60))
	}
	want := digest(srv)
	r.caughtUp()
	r.stop()
	return r, want
}

// TestRestartedAtEachStep restarts the target: it is not called a replica then, and is left as it is, and
// the next restore is exact.
func TestRestartedAtEachStep(t *testing.T) {
	t.Parallel()
	r, want := halves(t)
	base := int(r.plan().Base.Size)
	for _, row := range []struct {
		name  string
		after int // bytes of the data that pass; -1: the target cannot come
		ready func(info map[string]string) bool
	}{
		{"not come", -1, isReplica},
		{"half of the base", base / 2, isSyncing},
		{"base", base + 75, isLinked},
		{"half of the stream", base + 50_000, isStreaming},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dst := r.fresh()
			dst.MustDo("SET", "own", 1)
			listen, relay := stalledWay(t, row.after)
			failed := make(chan error, 1)
			go func() {
				_, err := replay.Restore(context.Background(), replay.RestoreOptions{Plan: r.plan(),
					View: r.view(), Target: dst.Addr, Force: true, Listen: listen, Advertise: relay.Addr,
					Logger: logger()})
				failed <- err
			}()
			proxytest.Poll(t, "the step", func() bool { return row.ready(dst.Info("replication")) })
			dst.Restart()
			if err := <-failed; err == nil || !strings.Contains(err.Error(), "the target is a primary since its "+
				"restart and holds ") || !strings.Contains(err.Error(), "; it was left as it is") {
				t.Errorf("got %v", err)
			}
			if got := dst.Info("replication")["role"]; got != "master" {
				t.Errorf("it is a %s", got)
			}
			if err := r.restoreInto(dst); err != nil || digest(dst) != want {
				t.Errorf("the next restore: %v", err)
			}
		})
	}
}

// stalledWay is where a restore listens, and the relay by which its target comes: so many bytes of the
// data pass; -1: the target cannot come.
func stalledWay(t *testing.T, after int) (listen string, relay *proxytest.FaultProxy) {
	t.Helper()
	port, err := local.FreePort()
	check(t, err)
	listen = "127.0.0.1:" + itoa(port)
	relay = proxytest.StartFaultProxy(t, listen)
	relay.Arm(proxytest.Fault{Op: proxytest.Stall, On: proxytest.Replies, Trigger: "PSYNC", After: after})
	if after < 0 {
		relay.Refuse()
	}
	return listen, relay
}

// TestWritesUntilTheRoleChanges: a restore that fails before the target has come gives it back with the
// writes of its clients, which it took until its role changed.
func TestWritesUntilTheRoleChanges(t *testing.T) {
	t.Parallel()
	r, dst := small(t), proxytest.StartServer(t, serverArgs...)
	dst.MustDo("SET", "own", 1)
	listen, relay := stalledWay(t, -1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		for ctx.Err() == nil && !isReplica(dst.Info("replication")) {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := replay.Restore(ctx, replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr, Force: true,
		Listen: listen, Advertise: relay.Addr, Logger: logger(),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return &beforeWrite{conn, "\r\nREPLICAOF\r\n", func() {
				if dst.Info("replication")["role"] == "master" {
					dst.MustDo("SET", "later", 1)
				}
			}}, err
		}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "own data is untouched, and it is a primary again") {
		t.Errorf("got %v", err)
	}
	if n := dst.MustDo("EXISTS", "own", "later"); n != int64(2) || dst.Info("replication")["role"] != "master" {
		t.Errorf("%v of 2 keys; it is a %s", n, dst.Info("replication")["role"])
	}
}

// TestAftermath interrupts restores: the error says what the target holds, and with which command
// that ends.
func TestAftermath(t *testing.T) {
	t.Parallel()
	r, want := halves(t)
	base := int(r.plan().Base.Size)
	for _, row := range []struct {
		name  string
		args  []string // of the target
		own   bool
		after int // bytes of the data that pass; -1: the target cannot come
		ready func(info map[string]string) bool
		text  string
		role  string
		full  int64 // full resyncs of the next restore
	}{
		{"not come", nil, true, -1, isReplica, "the target's own data is untouched, and it is a primary again",
			"master", 1},
		{"half of the base", nil, true, base / 2, isSyncing, "the target's own data is untouched", "master", 1},
		{"half of the base, at once", []string{"--repl-diskless-load", "swapdb"}, true, base / 2, nil,
			"the target's own data is untouched", "master", 1},
		{"half of the base, in its place", []string{"--repl-diskless-load", "flush-before-load"}, true,
			base / 2, nil, "where nothing answers, so that nothing writes into it; it holds nothing; the same " +
				"restore with --force goes on", "slave", 1},
		{"base", nil, true, base + 75, isLinked, "it holds the base only: db0: 1000 keys; the same restore",
			"slave", 0},
		{"half of the stream", nil, true, base + 50_000, isStreaming, "it holds the base and the stream up to offset ",
			"slave", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dst := proxytest.Spec{Kind: "valkey81", Args: append(row.args, serverArgs...)}.Start(t)
			dst.MustDo("SET", "own", 1)
			listen, relay := stalledWay(t, row.after)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			done := make(chan struct{})
			go func() { // the target answers nothing while it reads the base into its memory
				defer close(done)
				for ctx.Err() == nil && (row.after >= 0 && relay.Fired() == 0 ||
					row.ready != nil && !row.ready(dst.Info("replication"))) {
					time.Sleep(time.Millisecond)
				}
				cancel()
				relay.Refuse()
				relay.CutAll()
			}()
			_, err := replay.Restore(ctx, replay.RestoreOptions{Plan: r.plan(), View: r.view(),
				Target: dst.Addr, Force: true, Listen: listen, Advertise: relay.Addr, Logger: logger()})
			<-done
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), row.text) {
				t.Errorf("got %v\nwant %q in it", err, row.text)
			}
			if got := dst.Info("replication")["role"]; got != row.role {
				t.Errorf("it is a %s, want %s", got, row.role)
			}
			full := int64(0)
			err = r.restoreInto(dst, func(o *replay.RestoreOptions) {
				o.Progress = func(p replay.Progress) { full = p.Attempts }
			})
			if err != nil || digest(dst) != want || full != row.full {
				t.Errorf("the next restore: %v, %d full resyncs, want %d", err, full, row.full)
			}
		})
	}
}

func isReplica(info map[string]string) bool { return info["role"] == "slave" }

func isSyncing(info map[string]string) bool { return info["master_sync_in_progress"] == "1" }

func isLinked(info map[string]string) bool { return info["master_link_status"] == "up" }

func isStreaming(info map[string]string) bool {
	offset, _ := strconv.Atoi(info["slave_repl_offset"])
	return isLinked(info) && offset > 10_000
}
