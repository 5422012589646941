package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// silently changes the server without telling its replicas, as a memory error does.
func silently(srv *proxytest.Server, commands ...string) {
	script := "redis.set_repl(redis.REPL_NONE) "
	for _, c := range commands {
		script += "redis.call('" + strings.Join(strings.Fields(c), "','") + "') "
	}
	srv.MustDo("EVAL", script, 0)
}

// different is a recorded server with keys of several types, five of which are changed silently.
func different(t *testing.T, kind string) (*proxytest.Server, *process) {
	t.Helper()
	srv := proxytest.Spec{Kind: kind, Args: recordedArgs}.Start(t)
	p := startProxy(t, srv, recordingConfig)
	fill(t, p, 100)
	for i := range 5 {
		srv.MustDo("SET", fmt.Sprint("victim:", i), "right", "PX", 3600_000)
	}
	p.recordedAll(srv)
	return srv, p
}

var damage = []string{"SET victim:0 wrong KEEPTTL", "DEL victim:1", "PERSIST victim:2", "DEL victim:3",
	"RPUSH victim:3 a", "SET ghost 1", "HSET h:3 broken 1"}

var damaged = map[string]string{"victim:0": "value", "victim:1": "missing", "victim:2": "deadline",
	"victim:3": "type", "ghost": "extra", "h:3": "value"}

// diffOf runs diff with --json.
func diffOf(t *testing.T, srv *proxytest.Server, args ...string) (diffView, int) {
	t.Helper()
	var v diffView
	code, stdout, stderr := execute(t, append([]string{"diff", "--json", "--rate", "0", "--server-bin",
		srv.Binary.Path}, args...)...)
	if stdout == "" {
		t.Fatalf("%v: %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatal(err)
	}
	return v, code
}

// churn changes, deletes and makes keys of several types until it is stopped.
func churn(t *testing.T, srv *proxytest.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		c := srv.Client()
		pace := time.NewTicker(10 * time.Millisecond) // so that not all of the machine's time goes into the writes
		defer pace.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			k := i % 4000
			for _, args := range [][]any{{"SET", fmt.Sprint("c:", k), i}, {"INCR", "c:hot"},
				{"DEL", fmt.Sprint("c:", (k+2000)%4000)}, {"SET", fmt.Sprint("c:p", k), i, "PX", 200}} {
				_ = c.Do(ctx, args...).Err() // the test's end cuts the last one off
			}
			<-pace.C
		}
	})
	return sync.OnceFunc(func() { cancel(); wait.Wait() })
}

// found requires the damage, nothing else, and the last writes.
func (v *diffView) found(t *testing.T, code int) {
	t.Helper()
	kinds := map[string]string{}
	for _, d := range v.Differences {
		kinds[d.Key] = d.Kind
		if d.Last == nil != (d.Key == "ghost") {
			t.Errorf("the last write of %s: %+v", d.Key, d.Last)
		}
		if d.Last != nil && strings.HasPrefix(d.Key, "victim") && (!strings.EqualFold(d.Last.Command, "SET") ||
			d.Last.Offset == 0 || d.Last.Time.IsZero()) {
			t.Errorf("the last write of %s: %+v", d.Key, d.Last)
		}
	}
	if fmt.Sprint(kinds) != fmt.Sprint(damaged) || code != exitFailed || v.Same || v.Differ != int64(len(damaged)) {
		t.Errorf("%d: %d differ: %v, want %v", code, v.Differ, kinds, damaged)
	}
	for _, o := range append(v.Changing, v.Unknown...) {
		if !strings.HasPrefix(o.Key, "c:") {
			t.Errorf("not settled: %+v", o)
		}
	}
}

// Keys that the server holds and its journal does not are found, with their last write, while
// clients write all the time; without such keys nothing is found.
func TestDiffUnderLoad(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Binaries(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			srv, p := different(t, b.Kind)
			stop := churn(t, srv)
			defer stop()
			if v, code := diffOf(t, srv, "--config", p.file); code != exitDone || !v.Same || v.Keys < 100 ||
				v.Looked < 100 {
				t.Errorf("nothing is wrong: %d, %+v", code, v)
			}
			silently(srv, damage...)
			v, code := diffOf(t, srv, "--config", p.file)
			v.found(t, code)
			if v.To <= v.From {
				t.Errorf("the journal stood still: %d to %d", v.From, v.To)
			}
			stop()
			only, code := diffOf(t, srv, "--config", p.file, "--keys", "victim:*")
			if only.Differ != 4 || only.Keys != 4 || code != exitFailed {
				t.Errorf("some keys: %d, %+v", code, only)
			}
			part, _ := diffOf(t, srv, "--config", p.file, "--sample", "50")
			if part.Keys == 0 || part.Keys > v.Keys/2 {
				t.Errorf("a sample of 50: %d of %d keys", part.Keys, v.Keys)
			}
			code, stdout, _ := execute(t, "diff", "--config", p.file, "--server-bin", b.Path)
			if code != exitFailed || !strings.Contains(stdout, "db0 victim:0 has another value; its last write: offset ") ||
				!strings.Contains(stdout, "6 differ") {
				t.Errorf("%d, %s", code, stdout)
			}
		})
	}
}

// The trash's databases hold deleted data, and are not compared.
func TestDiffWithoutTrash(t *testing.T) {
	t.Parallel()
	srv, p := different(t, "")
	silently(srv, "SELECT 14", "SET trashed 1")
	if v, code := diffOf(t, srv, "--config", p.file); code != exitFailed || v.Differ != 1 {
		t.Errorf("%d, %+v", code, v)
	}
	for _, more := range []string{"rules: []\ntrash: {databases: [14, 15]}\n",
		"rules: [{name: keep, commands: [flushall], action: trash}]\n"} {
		file := filepath.Join(filepath.Dir(p.file), "other.yaml")
		text := p.configAt(srv.Addr, more+"journal: {dir: j, mark: 0s}\n")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, code := diffOf(t, srv, "--config", file); code != exitDone || v.Differ != 0 || v.Keys < 100 {
			t.Errorf("%s: %d, %+v", more, code, v)
		}
	}
}

// The next snapshot contains the server's faults. Against it nothing differs; against the one
// before it everything shows, in the server and in the snapshot.
func TestDiffOfBases(t *testing.T) {
	t.Parallel()
	srv, p := different(t, "")
	silently(srv, damage...)
	console, err := dialCaller(t.Context(), nil, p.console, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer console.close()
	if _, err := console.do(t.Context(), "SNAPSHOT"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.folder(), "base-*.rdb"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	var list journalView
	if err := json.Unmarshal([]byte(mustRun(t, "journal", "ls", "--dir", p.folder(), "--json")), &list); err != nil {
		t.Fatal(err)
	}
	older, newer := list.Bases[0].File, list.Bases[1].File
	if v, code := diffOf(t, srv, "--config", p.file); code != exitDone {
		t.Errorf("from the snapshot that adopted it: %+v", v)
	}
	v, code := diffOf(t, srv, "--config", p.file, "--base", older)
	v.found(t, code)
	v, code = diffOf(t, srv, "--dir", p.folder(), "--base", older, "--base", newer)
	v.found(t, code)
	if v, code = diffOf(t, srv, "--dir", p.folder(), "--base", newer, "--base", newer); code != exitDone || v.Keys < 100 {
		t.Errorf("a snapshot against itself: %d, %+v", code, v)
	}
}

// A backup is compared at its own offset, and so is a server that replicates.
func TestDiffOfBackups(t *testing.T) {
	t.Parallel()
	srv, p := different(t, "")
	save := func(name string) string {
		t.Helper()
		srv.Save()
		text, err := os.ReadFile(filepath.Join(srv.Dir, "dump.rdb"))
		path := filepath.Join(t.TempDir(), name)
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := save("good.rdb")
	silently(srv, damage...)
	bad := save("bad.rdb")
	srv.MustDo("SET", "later", 1)
	p.recordedAll(srv)
	if v, code := diffOf(t, srv, "--dir", p.folder(), "--against", good); code != exitDone || v.Keys < 100 {
		t.Errorf("a good backup: %d, %+v", code, v)
	}
	v, code := diffOf(t, srv, "--dir", p.folder(), "--against", bad)
	v.found(t, code)
	v, code = diffOf(t, srv, "--dir", p.folder(), "--against", srv.Addr)
	v.found(t, code)
}

// What cannot be compared is refused in words, and a user without DEBUG can do all of it.
func TestDiffRefusals(t *testing.T) {
	t.Parallel()
	srv, p := different(t, "")
	other := proxytest.StartServer(t, recordedArgs...)
	for _, row := range []struct{ args, says string }{
		{"--dir " + p.folder(), "which server?"},
		{"--dir " + p.folder() + " --against " + other.Addr, "another history than the journal"},
		{"--dir " + p.folder() + " --base a --base b", "the journal has no snapshot a"},
		{"--dir " + p.folder() + " --base a --base b --base c", "twice at most"},
		{"--config " + p.file + " --server-bin /none", "no server program"},
	} {
		code, _, stderr := execute(t, append([]string{"diff", "--server-bin", srv.Binary.Path},
			strings.Fields(row.args)...)...)
		if code == exitDone || !strings.Contains(stderr, row.says) {
			t.Errorf("%s: %d, %s", row.args, code, stderr)
		}
	}
	silently(srv, damage...)
	srv.MustDo("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@transaction", "+info", "+select", "+ping",
		"+client|no-touch", "+time", "-@dangerous", "+info", "+dump", "+scan", "+exists")
	v, code := diffOf(t, srv, "--dir", p.folder(), "--against", "redis://reader:secret@"+srv.Addr)
	v.found(t, code)
}
