package replay_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// state is what a target holds in memory and on its disk.
func state(t *testing.T, srv *proxytest.Server, dir string) string {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	info := srv.Info("replication")
	return digest(srv) + info["role"] + info["master_replid"] + string(dump)
}

// restoreInto tries a restore of everything with force.
func (r *recording) restoreInto(dst *proxytest.Server, change ...func(*replay.RestoreOptions)) error {
	r.t.Helper()
	o := replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr, Force: true,
		Logger: logger()}
	for _, c := range change {
		c(&o)
	}
	_, err := replay.Restore(context.Background(), o)
	return err
}

// TestObstacles: each is found before the target is touched.
func TestObstacles(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		from     string // kind of the recorded server
		fromArgs []string
		base     [][]any // recorded in the base
		stream   [][]any // recorded behind it
		to       string
		toArgs   []string
		want     error
		text     string
	}{
		{"format of Redis 8", "redis", nil, nil, nil, "valkey", nil, replay.ErrRejected, "format 12"},
		{"format of Redis 8, older", "redis", nil, nil, nil, "redis7", nil, replay.ErrRejected,
			"Redis 7.0.15 does not load it"},
		{"format of Valkey 9", "valkey9", nil, nil, nil, "valkey", nil, replay.ErrRejected, "format 80"},
		{"newer command", "valkey81", nil, nil, [][]any{{"EVAL",
			"return redis.call('SET', 'a', 1)", "0"}, {"SET", "k", "v"}}, "valkey",
			[]string{"--rename-command", "SET", "PUT"}, replay.ErrTarget, "it does not know SET"},
		{"newer option", "valkey9", nil, nil, [][]any{{"GEOADD", "g", 1, 1, "a"}, {"GEOSEARCHSTORE", "d", "g",
			"BYPOLYGON", 3, 0, 0, 0, 5, 5, 0}}, "valkey81", nil, replay.ErrTarget,
			"it does not know the options in GEOSEARCHSTORE BYPOLYGON"},
		{"disabled FLUSHALL", "valkey", nil, nil, [][]any{{"FLUSHALL"}}, "valkey",
			[]string{"--rename-command", "FLUSHALL", ""}, replay.ErrTarget, "it does not know FLUSHALL"},
		{"command renamed by the recorded server", "valkey",
			[]string{"--rename-command", "SET", "PUT"}, nil, [][]any{{"PUT", "k", "v"}}, "valkey", nil,
			replay.ErrTarget, "it does not know PUT"},
		{"databases in the base", "valkey", []string{"--databases", "64"},
			[][]any{{"SET", "a", "1"}, {"MOVE", "a", "40"}}, nil, "valkey", nil, replay.ErrTarget,
			"database 40 is needed"},
		{"databases in the stream", "valkey", []string{"--databases", "64"}, nil,
			[][]any{{"SET", "a", "1"}, {"MOVE", "a", "41"}}, "valkey", nil, replay.ErrTarget,
			"database 41 is needed"},
		{"databases of a swap", "valkey", []string{"--databases", "64"}, nil,
			[][]any{{"SWAPDB", "3", "42"}}, "valkey", nil, replay.ErrTarget, "database 42 is needed"},
		{"databases of a copy", "valkey", []string{"--databases", "64"}, nil,
			[][]any{{"SET", "a", "1"}, {"COPY", "a", "b", "DB", "43"}}, "valkey", nil, replay.ErrTarget,
			"database 43 is needed"},
		{"memory", "valkey", nil, nil, nil, "valkey", []string{"--maxmemory", "0",
			"--maxmemory-policy", "volatile-lru"}, replay.ErrTooSmall, "would evict"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: row.from, Args: append(row.fromArgs, serverArgs...)}.Start(t)
			for _, c := range row.base {
				srv.MustDo(c...)
			}
			if row.name == "format of Valkey 9" {
				srv.MustDo("HSET", "h", "f", "v")
				srv.MustDo("HEXPIRE", "h", 1000, "FIELDS", 1, "f")
			}
			r := record(t, srv)
			for _, c := range row.stream {
				srv.MustDo(c...)
			}
			r.caughtUp()
			dst, dir := withDumpOf(t, row.to, row.toArgs)
			if row.want == replay.ErrTooSmall {
				dst.MustDo("CONFIG", "SET", "maxmemory", "600kb")
			}
			before := state(t, dst, dir)
			err := r.restoreInto(dst)
			var pre *replay.PreflightError
			if !errors.As(err, &pre) || !errors.Is(err, row.want) ||
				!strings.Contains(err.Error(), row.text) {
				t.Errorf("got %v; want %v with %q", err, row.want, row.text)
			}
			if after := state(t, dst, dir); after != before {
				t.Errorf("the target was changed from\n%.200q to\n%.200q", before, after)
			}
		})
	}
}

// withDumpOf starts a server that has some data in memory and in its dump, written by no command
// that a test renames.
func withDumpOf(t *testing.T, kind string, args []string) (*proxytest.Server, string) {
	t.Helper()
	dir := t.TempDir()
	srv := proxytest.Spec{Kind: kind, Args: append(append([]string{"--dir", dir}, args...),
		serverArgs...)}.Start(t)
	srv.MustDo("APPEND", "own", "data")
	srv.Save()
	return srv, dir
}

// TestObstaclesAtOnce: one list has everything, and a dry run the same list.
func TestObstaclesAtOnce(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "redis", Args: append([]string{"--databases", "64"},
		serverArgs...)}.Start(t)
	r := record(t, srv)
	srv.MustDo("SET", "a", 1)
	srv.MustDo("MOVE", "a", 40)
	srv.MustDo("FLUSHALL")
	r.caughtUp()
	dst, dir := withDumpOf(t, "valkey", []string{"--rename-command", "FLUSHALL", "",
		"--maxmemory-policy", "volatile-lru"})
	dst.MustDo("CONFIG", "SET", "maxmemory", "600kb")
	sentinel := dst.Client().Subscribe(context.Background(), "__sentinel__:hello")
	defer sentinel.Close()
	if _, err := sentinel.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	before := state(t, dst, dir)
	o := replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr}
	_, err := replay.Restore(context.Background(), o)
	_, dry := replay.Examine(context.Background(), o)
	for _, want := range []error{replay.ErrRejected, replay.ErrNotEmpty, replay.ErrWatched,
		replay.ErrTooSmall, replay.ErrTarget} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not among: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n  - "); n != 6 || dry == nil || dry.Error() != err.Error() {
		t.Errorf("%d findings, want 6, in a dry run as well:\n%v\n%v", n, err, dry)
	}
	if state(t, dst, dir) != before {
		t.Error("the target was changed")
	}
}

// TestSentinelsPaused: with the word of an operator that they do not act, they are no obstacle.
func TestSentinelsPaused(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := r.fresh()
	sentinel := dst.Client().Subscribe(context.Background(), "__sentinel__:hello")
	defer sentinel.Close()
	if _, err := sentinel.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.restoreInto(dst); !errors.Is(err, replay.ErrWatched) {
		t.Errorf("got %v, want %v", err, replay.ErrWatched)
	}
	if err := r.restoreInto(dst, func(o *replay.RestoreOptions) { o.SentinelPaused = true }); err != nil {
		t.Error(err)
	}
}

// TestTargetThatComesWithTLS is refused with the reason.
func TestTargetThatComesWithTLS(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := r.fresh()
	cert, key := certificate(t)
	dst.MustDo("CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key, "tls-ca-cert-file", cert,
		"tls-replication", "yes")
	if err := r.restoreInto(dst); !errors.Is(err, replay.ErrTarget) ||
		!strings.Contains(err.Error(), "tls-replication is yes") {
		t.Errorf("got %v", err)
	}
}

// TestNotChecked: a user without the rights restores, and hears what was not looked at.
func TestNotChecked(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, append([]string{"--databases", "64"}, serverArgs...)...)
	r := record(t, srv)
	srv.MustDo("SET", "a", 1)
	srv.MustDo("MOVE", "a", 1)
	r.caughtUp()
	dst := r.fresh()
	dst.MustDo("ACL", "SETUSER", "restorer", "on", "nopass", "+info", "+replicaof")
	pre, err := replay.Examine(context.Background(), replay.RestoreOptions{Plan: r.plan(),
		View: r.view(), Target: dst.Addr, Username: "restorer"})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range pre.Findings {
		if f.Err != nil || !strings.Contains(f.Text, "not checked") {
			t.Errorf("%+v", f)
		}
		said = append(said, f.Subject)
	}
	if got := strings.Join(said, " "); got != "commands databases settings sentinels" {
		t.Errorf("not checked: %q", got)
	}
}

// TestBrokenNewestBase: the one before it serves, and the plan says so. Nothing leads to where all
// are broken.
func TestBrokenNewestBase(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, path string)
	}{
		{"flipped", func(t *testing.T, path string) { flip(t, path, -20) }},
		{"flipped head", func(t *testing.T, path string) { flip(t, path, 3) }},
		{"cut", func(t *testing.T, path string) { check(t, os.Truncate(path, 30)) }},
		{"gone", func(t *testing.T, path string) { check(t, os.Remove(path)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t, serverArgs...)
			r := record(t, srv)
			for i := range 100 {
				srv.MustDo("SET", "k"+strconv.Itoa(i), i)
			}
			base, err := r.tap.Snapshot(context.Background())
			check(t, err)
			srv.MustDo("SET", "after", 1)
			want := digest(srv)
			r.caughtUp()
			p := r.locate(replay.Selector{})
			if p.Base.File != base.File {
				t.Fatalf("the base is %s, want %s", p.Base.File, base.File)
			}
			row.spoil(t, filepath.Join(r.dir, base.File))
			plan, err := replay.NewPlan(context.Background(), r.view(), p, nil)
			check(t, err)
			known := row.name == "flipped" || row.name == "flipped head"
			if plan.Base.File == base.File || known != (len(plan.Broken) == 1) {
				t.Errorf("the plan goes from %s, broken are %+v", plan.Base.File, plan.Broken)
			}
			if got := r.restore(r.fresh(), p); got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			first := plan.Base
			flip(t, filepath.Join(r.dir, first.File), -20)
			if _, err = replay.NewPlan(context.Background(), r.view(), p, nil); !errors.Is(err,
				journal.ErrNoBase) || !errors.Is(err, journal.ErrBase) {
				t.Errorf("with no sound base: %v", err)
			}
		})
	}
}

// flip turns a byte of a file over; a place below zero counts from its end.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	check(t, os.WriteFile(path, b, 0o600))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certificate writes a certificate that is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	check(t, err)
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, private.Public(), private)
	check(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
		0o600))
	return cert, key
}
