package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// fill writes data of several types.
func fill(t *testing.T, p *process, n int) {
	t.Helper()
	for i := range n {
		for _, args := range [][]any{
			{"SET", fmt.Sprint("s:", i), i}, {"HSET", fmt.Sprint("h:", i%7), i, i},
			{"ZADD", "z", i, i}, {"XADD", "x", "*", "f", i}, {"SPOP", "none"},
			{"SADD", "set", i}, {"LPUSH", "l", i, i},
		} {
			if err := p.do(args...); err != nil && err.Error() != "redis: nil" {
				t.Fatal(args, err)
			}
		}
	}
}

// The story of the README: a FLUSHALL, and one command that brings everything back.
func TestRestoreBeforeFlushall(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		t.Parallel()
		p := startProxy(t, srv, recordingConfig)
		fill(t, p, 50)
		want := srv.MustDo("DEBUG", "DIGEST")
		for _, args := range [][]any{{"FLUSHALL"}, {"SET", "after", 1}} {
			if err := p.do(args...); err != nil {
				t.Fatal(err)
			}
		}
		p.recordedAll(srv)
		dst := proxytest.Spec{Kind: srv.Binary.Kind, Args: recordedArgs}.Start(t)
		point := []string{"restore", "--config", p.file, "--before-command", "flushall",
			"--target", "redis://" + dst.Addr}
		dry := mustRun(t, append(point, "--dry-run")...)
		if !strings.Contains(dry, "LPUSH l 49 49\n  --> the point") ||
			!strings.Contains(strings.ToLower(dry), "db0  flushall\n") ||
			!strings.HasSuffix(dry, "dry run: nothing was done\n") {
			t.Error(dry)
		}
		if n := dst.MustDo("DBSIZE"); n != int64(0) {
			t.Fatalf("the dry run left %v keys", n)
		}
		out := mustRun(t, point...)
		if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
			t.Errorf("digest %v, want %v\n%s", got, want, out)
		}
		if role := dst.Info("replication")["role"]; role != "master" || !strings.Contains(out,
			"done: "+dst.Addr+" is a primary") {
			t.Errorf("role %s\n%s", role, out)
		}
		code, _, stderr := execute(t, point...)
		if code != exitFailed || !strings.Contains(stderr, "not empty") ||
			!strings.Contains(stderr, "-force") {
			t.Errorf("into a server with data: %d, %s", code, stderr)
		}
		var v restoredView
		forced := mustRun(t, append(point, "--force", "--json")...)
		if err := json.Unmarshal([]byte(forced), &v); err != nil || !v.Done ||
			v.Plan.Offset != v.Plan.TargetEnd || len(v.Plan.Before) != 3 {
			t.Errorf("%s %v", forced, err)
		}
		if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
			t.Errorf("forced: digest %v, want %v", got, want)
		}
	}, recordedArgs...)
}

// With the FLUSHALL left out, what came after it stays.
func TestRestoreWithoutOneCommand(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "before", 1)
	srv.MustDo("FLUSHALL")
	srv.MustDo("SET", "after", 1)
	p.recordedAll(srv)
	p.stop() // a restore needs no proxy
	out := mustRun(t, "journal", "show", "--dir", p.folder(), "--match", "flushall", "--json")
	var line lineView
	if err := json.Unmarshal([]byte(out), &line); err != nil {
		t.Fatal(err)
	}
	dst := proxytest.StartServer(t, recordedArgs...)
	out = mustRun(t, "restore", "--dir", p.folder(), "--end", "--skip", fmt.Sprint(line.Offset),
		"--target", dst.Addr)
	if !strings.Contains(out, "left out: 1 command; this state never existed\n") {
		t.Error(out)
	}
	if n := dst.MustDo("EXISTS", "before", "after"); n != int64(2) {
		t.Errorf("%v of 2 keys are there", n)
	}
	code, _, stderr := execute(t, "restore", "--dir", p.folder(), "--end", "--skip", "999999999",
		"--dry-run")
	if code != exitFailed || !strings.Contains(stderr, "offset 999999999 is not below the point, ") {
		t.Errorf("a skip beyond the end: %d, %s", code, stderr)
	}
}

// A copy of the folder, taken while it is written, restores on its own.
func TestRestoreFromACopy(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	fill(t, p, 20)
	want := srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(p.folder())); err != nil {
		t.Fatal(err)
	}
	dst := proxytest.StartServer(t, recordedArgs...)
	mustRun(t, "restore", "--dir", dir, "--end", "--target", dst.Addr)
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
}

// The flushed server itself is rebuilt, under the proxy: the journal notices, keeps the branch that
// was given up, and goes on.
func TestRestoreInPlace(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	fill(t, p, 20)
	want := srv.MustDo("DEBUG", "DIGEST")
	if err := p.do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	p.recordedAll(srv)
	point := []string{"restore", "--config", p.file, "--before-command", "flushall", "--target"}
	code, _, stderr := execute(t, append(point, srv.Addr)...)
	if code != exitFailed || !strings.Contains(stderr, "is the server that this journal records") ||
		!strings.Contains(stderr, "--force") {
		t.Fatalf("without force: %d, %s", code, stderr)
	}
	code, _, stderr = execute(t, append(point, p.addr, "--force")...)
	if code != exitFailed || !strings.Contains(stderr, "nothing was touched") ||
		!strings.Contains(stderr, "it is a proxy; give the address of the server behind it") {
		t.Fatalf("into the proxy: %d, %s", code, stderr)
	}
	mustRun(t, append(point, srv.Addr, "--force")...)
	if got := srv.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
	p.recordedAll(srv)
	proxytest.Poll(t, "the proxy takes writes", func() bool { return p.do("SET", "new", 1) == nil })
	want = srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	var v journalView
	out := mustRun(t, "journal", "ls", "--dir", p.folder(), "--json")
	// A tap that attaches before the promotion sees the history under the target's id first.
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Timelines) < 2 ||
		v.Timelines[1].Parent != 1 || len(v.Incidents) != 1 {
		t.Errorf("%s %v", out, err)
	}
	// The omissions of the restore were intended.
	proxytest.Poll(t, "the incident is closed", func() bool {
		out = mustRun(t, "journal", "ls", "--dir", p.folder(), "--json")
		return json.Unmarshal([]byte(out), &v) == nil && !v.Incidents[0].Open()
	})
	if i := v.Incidents[0]; i.Verdict != journal.Lost || !strings.HasPrefix(i.How, "restored to offset ") {
		t.Errorf("%+v", i)
	}
	dst := proxytest.StartServer(t, recordedArgs...)
	mustRun(t, "restore", "--dir", p.folder(), "--end", "--target", dst.Addr)
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("the new history: digest %v, want %v", got, want)
	}
	// The old branch, with the FLUSHALL, is still there.
	out = mustRun(t, "restore", "--dir", p.folder(), "--timeline", "1", "--end", "--dry-run")
	if !strings.Contains(strings.ToLower(out), "flushall") {
		t.Error(out)
	}
	code, _, stderr = execute(t, append(point, dst.Addr)...)
	if code != exitFailed || !strings.Contains(stderr, "timeline 1 from offset ") {
		t.Errorf("before the FLUSHALL that is no more: %d, %s", code, stderr)
	}
	end := fmt.Sprint(v.Timelines[0].End)
	proxytest.Poll(t, "the new history to come as far", func() bool {
		return p.do("SET", "new", strings.Repeat("x", 100)) == nil && recordedBeyond(t, p, end)
	})
	if out = mustRun(t, "restore", "--dir", p.folder(), "--to", end, "--dry-run"); !strings.Contains(
		out, "\nnote: another history came to that offset, too: timeline 1\n") {
		t.Error(out)
	}
}

// recordedBeyond reports whether the present history has come to an offset.
func recordedBeyond(t *testing.T, p *process, offset string) bool {
	t.Helper()
	code, _, _ := execute(t, "restore", "--dir", p.folder(), "--to", offset, "--dry-run")
	return code == exitDone
}

// Without a target the point is served to any server that connects.
func TestRestoreListen(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	fill(t, p, 10)
	want := srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	addr := freeAddr(t)
	cmd := plain.command(t, "restore", "--dir", p.folder(), "--end", "--listen", addr)
	var out proxytest.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	host, port, _ := strings.Cut(addr, ":")
	proxytest.Poll(t, "it serves", func() bool {
		return strings.Contains(out.String(), "serving at "+addr+": REPLICAOF "+host+" "+port+"\n")
	})
	dst := proxytest.StartServer(t, recordedArgs...)
	dst.MustDo("REPLICAOF", host, port)
	proxytest.Poll(t, "the server is there", func() bool {
		return strings.Contains(out.String(), "a server has reached the point")
	})
	dst.MustDo("REPLICAOF", "NO", "ONE")
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v\n%s", got, want, out.String())
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, out.String())
	}
}

// The proxy is killed again and again under load. Whatever the server has executed is in the journal
// once that has caught up, and nothing in it is damaged.
func TestKillTheProxy(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	ctx, client := context.Background(), srv.Client()
	n := 0
	for range 5 {
		for range 300 {
			if err := client.Set(ctx, fmt.Sprint("k:", n), n, 0).Err(); err != nil {
				t.Fatal(err)
			}
			n++
		}
		p.kill()
		for range 50 { // in its absence
			if err := client.Set(ctx, fmt.Sprint("k:", n), n, 0).Err(); err != nil {
				t.Fatal(err)
			}
			n++
		}
		p.again()
	}
	p.recordedAll(srv)
	want := srv.MustDo("DEBUG", "DIGEST")
	mustRun(t, "journal", "verify", "--dir", p.folder())
	var v journalView
	if err := json.Unmarshal([]byte(mustRun(t, "journal", "ls", "--dir", p.folder(), "--json")),
		&v); err != nil || len(v.Timelines) != 1 || len(v.Gaps)+len(v.Incidents) != 0 {
		t.Errorf("%+v %v", v, err)
	}
	dst := proxytest.StartServer(t, recordedArgs...)
	mustRun(t, "restore", "--dir", p.folder(), "--end", "--target", dst.Addr)
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
}

// The server is killed again and again, and comes back without anything: each history stays in the
// journal and can be restored to its end.
func TestKillTheServer(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	for round := range 3 {
		for i := range 100 {
			proxytest.Poll(t, "the server takes writes", func() bool {
				return p.do("SET", fmt.Sprint("k:", round, ":", i), i) == nil
			})
		}
		p.recordedAll(srv)
		srv.Kill()
		srv.Restart()
	}
	var v journalView
	proxytest.Poll(t, "the last history is noticed", func() bool {
		out := mustRun(t, "journal", "ls", "--dir", p.folder(), "--json")
		return json.Unmarshal([]byte(out), &v) == nil && len(v.Timelines) == 4 && len(v.Bases) >= 4
	})
	mustRun(t, "journal", "verify", "--dir", p.folder())
	for round := range 3 {
		dst := proxytest.StartServer(t, recordedArgs...)
		mustRun(t, "restore", "--dir", p.folder(), "--timeline", fmt.Sprint(round+1), "--end",
			"--target", dst.Addr)
		if n := dst.MustDo("DBSIZE"); n != int64(100) {
			t.Errorf("round %d: %v keys", round, n)
		}
		if v := dst.MustDo("GET", fmt.Sprint("k:", round, ":99")); v != "99" {
			t.Errorf("round %d: the last write is %v", round, v)
		}
	}
}
