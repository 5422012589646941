package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/journal/keyspace"
	"holdfast/journal/putback"
	"holdfast/proxy/proxytest"
)

// A keysReport is what restore --json says about single keys.
type keysReport struct {
	Items []struct {
		Key    string `json:"key"`
		Base64 string `json:"key_base64"`
		Action string `json:"action"`
		Why    string `json:"why"`
	} `json:"items"`
	keysView
}

// restoredKeys runs restore with --json.
func restoredKeys(t *testing.T, srv *proxytest.Server, args ...string) (code int, v keysReport, stderr string) {
	t.Helper()
	code, stdout, stderr := execute(t, append([]string{"restore", "--json", "--server-bin",
		srv.Binary.Path}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &v); err != nil && code != exitUsage {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	return code, v, stderr
}

// TestRestoreKeys undoes a script's writes to some keys, behind a proxy that goes on serving.
func TestRestoreKeys(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	for i := range 100 {
		if err := p.do("SET", fmt.Sprint("user:", i), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.do("SET", "bin\xff", 1); err != nil {
		t.Fatal(err)
	}
	p.recordedAll(srv)
	from := srv.Info("replication")["master_repl_offset"]
	srv.MustDo("EVAL", "for i = 0, 49 do redis.call('SET', 'user:' .. i, 'broken') end redis.call('DEL', 'bin\\255')", 0)
	p.recordedAll(srv)
	to := srv.Info("replication")["master_repl_offset"]
	if err := p.do("SET", "user:7", "later"); err != nil {
		t.Fatal(err)
	}
	p.recordedAll(srv)
	live := []string{"--config", p.file, "--changed-between", from + "," + to, "--into", "live"}
	code, v, stderr := restoredKeys(t, srv, append(live, "--dry-run")...)
	if code != exitDone || v.Done || !v.DryRun || !v.Recorded || v.Keys["replaced"] != 49 ||
		v.Keys["conflict"] != 1 || v.Keys["put back"] != 1 || srv.MustDo("GET", "user:1") != "broken" {
		t.Errorf("dry run: %d %+v %s", code, v.keysView, stderr)
	}
	if code, v, stderr = restoredKeys(t, srv, append(live, "--conflicts", "list")...); code != exitFailed ||
		v.Done || !strings.Contains(stderr, "nothing was written") || srv.MustDo("GET", "user:1") != "broken" {
		t.Errorf("list: %d %+v %s", code, v.keysView, stderr)
	}
	out := mustRun(t, append([]string{"restore", "--server-bin", srv.Binary.Path, "--rate", "10000"}, live...)...)
	for _, want := range []string{"\nkeys: 1 put back, 49 replaced, 1 conflict\n", "\ndone: ",
		"\nthe stretch has 50 SET, 1 DEL\n", "\na conflict keeps its present value; --conflicts replace ",
		"\n  conflict  db0 user:7 (value): another command has written it since the point\n",
		"\n  put back  db0 \"bin\\xff\"\n", "\n  replaced  db0 user:1 (value)\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if srv.MustDo("GET", "user:7") != "later" || srv.MustDo("GET", "user:49") != "49" ||
		srv.MustDo("GET", "bin\xff") != "1" {
		t.Error("the keys are not what they should be")
	}
	// By name, into another server, at the same point.
	dst := proxytest.StartServer(t)
	dst.MustDo("SET", "own", 1)
	code, v, stderr = restoredKeys(t, srv, "--dir", p.folder(), "--to", to, "--keys", "user:1*", "--keys",
		"bin*", "--into", dst.Addr)
	if code != exitDone || !v.Done || v.Recorded || len(v.Items) != 11 || dst.MustDo("DBSIZE") != int64(12) ||
		dst.MustDo("GET", "user:1") != "broken" {
		t.Errorf("by name: %d %+v %s", code, v, stderr)
	}
	code, v, _ = restoredKeys(t, srv, "--dir", p.folder(), "--to", from, "--keys", "bin*", "--into", dst.Addr)
	if code != exitDone || len(v.Items) != 1 || v.Items[0].Base64 !=
		base64.StdEncoding.EncodeToString([]byte("bin\xff")) {
		t.Errorf("a binary name: %d %+v", code, v)
	}
}

// TestRestoreKeysOfEvent undoes an event, with the scratch server named.
func TestRestoreKeysOfEvent(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	fill(t, p, 20)
	want := srv.MustDo("DEBUG", "DIGEST")
	srv.MustDo("FLUSHALL")
	p.recordedAll(srv)
	scratch := proxytest.StartServer(t, recordedArgs...)
	code, v, stderr := restoredKeys(t, srv, "--config", p.file, "--changed-between", "event:1", "--into", "live",
		"--server-bin", "", "--scratch", scratch.Addr)
	if code != exitDone || v.Scratch != scratch.Addr {
		t.Fatalf("%d %+v %s", code, v.keysView, stderr)
	}
	srv.MustDo("DEL", "holdfast:mark")
	if got := srv.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
}

func TestRestoreKeysUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"--keys a --end", "--keys a --into x", "--into x --end --dry-run", "--db 1 --end --dry-run",
		"--keys a --into live --end", "--keys a --into x --end --target y", "--changed-between , --into x",
		"--changed-between event:x --into x", "--changed-between 1,x --into x",
		"--keys a --into x --end --conflicts maybe", "--keys a --into x --end --ttl never",
		"--keys a --into x --end --rate -1", "--keys a --changed-by set --into x --end",
		"--keys a --into x --end --scratch y --server-bin z",
		"--keys a --into ftp://x --end", "--keys a --db x --into x --end",
	} {
		code, _, stderr := execute(t, append([]string{"restore", "--dir", t.TempDir()}, strings.Fields(args)...)...)
		if code != exitUsage && !(code == exitFailed && strings.Contains(stderr, "no journal")) {
			t.Errorf("%s: %d %s", args, code, stderr)
		}
		if code == exitFailed && !strings.Contains(args, "scratch") && !strings.Contains(args, "ftp") &&
			!strings.Contains(args, "live") {
			t.Errorf("%s: it was found out too late: %s", args, stderr)
		}
	}
}

// The databases of the trash are no clients' data: a restore by name leaves them alone.
func TestRestoreKeysWithoutTrash(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", 1)
	p.recordedAll(srv)
	point := fmt.Sprint(offsetOf(t, srv))
	for _, db := range []int{7, 8, 14} {
		srv.MustDo("EVAL", "redis.call('SELECT', ARGV[1]) redis.call('SET', 'later', 1)", 0, db)
	}
	p.recordedAll(srv)
	databases := func(more string) string {
		t.Helper()
		file := filepath.Join(filepath.Dir(p.file), "other.yaml")
		text := p.configAt(srv.Addr, more+"journal: {dir: j, mark: 0s}\n")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, v, stderr := restoredKeys(t, srv, "--config", file, "--keys", "*", "--to", point, "--into", "live",
			"--conflicts", "replace", "--dry-run")
		if v.Keys["same"] != 1 {
			t.Errorf("%s: %+v %s", more, v.keysView, stderr)
		}
		return fmt.Sprint(v.Keys["removed"])
	}
	for more, want := range map[string]string{
		"rules: []\n": "3",
		"rules: []\ntrash: {databases: [14, 15]}\n":                    "2",
		"rules: [{name: keep, commands: [flushall], action: trash}]\n": "1",
	} {
		if got := databases(more); got != want {
			t.Errorf("%s: %s removed, want %s", more, got, want)
		}
	}
}

// An offset within a script is the whole script, as the beginning, as the end and alone; and where no
// key is asked for, nothing says done.
func TestRestoreKeysOfOneCommand(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("MSET", "a", 1, "b", 1, "c", 1)
	srv.MustDo("EVAL", "for _, k in ipairs{'a', 'b', 'c'} do redis.call('SET', k, 'broken') end", 0)
	p.recordedAll(srv)
	_, stdout, _ := execute(t, "journal", "show", "--dir", p.folder(), "--key", "b", "--json")
	var at int64
	for line := range strings.Lines(stdout) {
		var c struct{ Offset int64 }
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err, line)
		}
		at = c.Offset // of the last command, inside of the script
	}
	for _, span := range []string{fmt.Sprint(at), fmt.Sprint(at, ",", at+1), fmt.Sprint(at-1, ",", at)} {
		code, v, stderr := restoredKeys(t, srv, "--config", p.file, "--changed-between", span, "--into", "live",
			"--dry-run")
		if code != exitDone || v.Keys["replaced"] != 3 {
			t.Errorf("%s: %d %+v %s", span, code, v.keysView, stderr)
		}
	}
	for _, args := range [][]string{{"--changed-between", fmt.Sprint(at), "--keys", "nothing*"},
		{"--keys", "nothing*", "--end"}} {
		code, v, stderr := restoredKeys(t, srv, append(args, "--config", p.file, "--into", "live")...)
		if code != exitFailed || v.Done || !strings.Contains(stderr, "no key is asked for") {
			t.Errorf("%v: %d %+v %s", args, code, v.keysView, stderr)
		}
	}
	if srv.MustDo("GET", "c") != "broken" {
		t.Error("something was written")
	}
	end := fmt.Sprint(offsetOf(t, srv))
	code, _, stderr := execute(t, "restore", "--config", p.file, "--server-bin", srv.Binary.Path,
		"--changed-between", end+","+end, "--into", "live")
	if code != exitFailed || !strings.Contains(stderr, "no command is there") {
		t.Errorf("an empty stretch: %d %s", code, stderr)
	}
}

// TestItemLines names a conflict behind many keys that are put back.
func TestItemLines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := &itemPrinter{w: &out, keeps: true}
	for i := range 250 {
		if err := p.print(putback.Item{Key: keyspace.Key{Name: fmt.Sprint("k:", i)}, Action: putback.PutBack}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.print(putback.Item{Key: keyspace.Key{Name: "z"}, Action: putback.Conflicted, Why: errors.New("why")}); err != nil {
		t.Fatal(err)
	}
	names := map[string]int64{"expire": 1200, "set": 3}
	if err := p.end(keysView{Keys: map[string]int64{"put back": 250, "conflict": 1}, Names: names}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  conflict  db0 z: why\n", "  and 150 more; --json names all of them\n",
		"the stretch has 1,200 EXPIRE, 3 SET\n", "keys: 250 put back, 1 conflict\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestRestoreIntoAProxy names the wrong servers: the proxy's own address, and a replica.
func TestRestoreIntoAProxy(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", 1)
	p.recordedAll(srv)
	code, _, stderr := execute(t, "restore", "--dir", p.folder(), "--end", "--force", "--target", p.addr)
	if code != exitFailed || !strings.Contains(stderr, "it is a proxy; give the address of the server behind it") {
		t.Errorf("a proxy: %d %s", code, stderr)
	}
	replica := proxytest.StartServer(t)
	replica.MustDo("REPLICAOF", "127.0.0.1", srv.Port)
	code, stdout, stderr := execute(t, "restore", "--dir", p.folder(), "--end", "--keys", "a", "--into", replica.Addr,
		"--server-bin", srv.Binary.Path)
	if code != exitFailed || strings.Contains(stdout, "keys: ") ||
		!strings.Contains(stderr, "is a replica of "+srv.Addr+"; write to that, its primary") {
		t.Errorf("a replica: %d %s%s", code, stdout, stderr)
	}
}

// TestInterrupted names the interruption and no fault of a server.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", 1)
	p.recordedAll(srv)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run(ctx, []string{"restore", "--dir", p.folder(), "--end", "--keys", "a", "--into", srv.Addr}, io.Discard, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted: ") || exitCode(err) != exitFailed {
		t.Errorf("%v", err)
	}
}
