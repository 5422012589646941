package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

const repairConfig = "rules: []\njournal: {dir: j, mark: 100ms}\n"

// lostKeys is how many keys the lost history writes: more than go to the server at once.
const lostKeys = 150

// lose has a recorded server lose writes: it comes back from an RDB file. One of the keys has been
// written since. It returns the keys as they should be, but for that one.
func lose(t *testing.T, srv *proxytest.Server, p *process) (want map[string]string) {
	t.Helper()
	p.recordedAll(srv)
	for i := range lostKeys {
		srv.MustDo("SET", fmt.Sprint("key:", i), "old")
	}
	srv.MustDo("SET", "untouched", 1)
	srv.Save()
	for i := range lostKeys {
		if i%10 == 0 {
			srv.MustDo("DEL", fmt.Sprint("key:", i))
		} else {
			srv.MustDo("SET", fmt.Sprint("key:", i), "new")
		}
	}
	p.recordedAll(srv)
	want = allKeys(t, srv)
	srv.Kill()
	srv.Restart()
	proxytest.Poll(t, "the incident", func() bool {
		return strings.Contains(p.operate("SHOW", "INCIDENTS"), "lost, open")
	})
	p.recordedAll(srv)
	srv.MustDo("SET", "key:1", "since")
	p.recordedAll(srv)
	return want
}

// allKeys gives the strings of a server's first database.
func allKeys(t *testing.T, srv *proxytest.Server) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, k := range srv.MustDo("KEYS", "*").([]any) {
		out[k.(string)] = fmt.Sprint(srv.MustDo("GET", k))
	}
	return out
}

// TestRepair repairs the server of a running proxy, as SHOW INCIDENTS says, and has the proxy close
// the incident; then once more, without a proxy.
func TestRepair(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	p := startProxy(t, srv, repairConfig)
	want := lose(t, srv, p)
	shown := p.operate("SHOW", "INCIDENTS")
	at := strings.Index(shown, "proxy repair --config ")
	if at < 0 {
		t.Fatalf("SHOW INCIDENTS: %s", shown)
	}
	args := append(strings.Fields(shown[at:])[1:6], "--server-bin", srv.Binary.Path)

	ours := allKeys(t, srv)
	out := mustRun(t, append(args, "--dry-run")...)
	if !strings.Contains(out, "would be put back") || !maps.Equal(allKeys(t, srv), ours) {
		t.Errorf("a dry run: %s", out)
	}
	code, out, errs := execute(t, args...)
	if code != exitFailed || !strings.Contains(out, `conflict: db0 "key:1": written on the live server since`) {
		t.Errorf("without --conflicts: %d %s%s", code, out, errs)
	}
	if !strings.Contains(p.operate("SHOW", "INCIDENTS"), "lost, open") {
		t.Error("the incident is closed, with an undecided conflict")
	}
	out = mustRun(t, append(args, "--conflicts", "skip", "--json")...)
	var v struct {
		Settled, Conflicts int
		Closed             bool
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Settled != lostKeys-1 || v.Conflicts != 1 ||
		!v.Closed {
		t.Errorf("%v: %s", err, out)
	}
	want["key:1"] = "since"
	if got := allKeys(t, srv); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if shown := p.operate("SHOW", "INCIDENTS"); !strings.Contains(shown, "lost, repaired: 0 put back, 0 "+
		"removed, 1 conflict skipped") {
		t.Errorf("SHOW INCIDENTS: %s", shown)
	}
	if code, _, errs := execute(t, args...); code != exitFailed || !strings.Contains(errs, "is closed") {
		t.Errorf("a closed incident: %d %s", code, errs)
	}
	lose(t, srv, p)
	p.stop()
	args[4] = "2"
	if out := mustRun(t, append(args, "--conflicts", "replace")...); !strings.Contains(out,
		"incident 2 is closed") {
		t.Errorf("without a proxy: %s", out)
	}
	if got := srv.MustDo("GET", "key:1"); got != "new" {
		t.Errorf("key:1 is %v", got)
	}
	if out := mustRun(t, "journal", "ls", "--dir", p.folder()); !strings.Contains(out, "lost, repaired") {
		t.Errorf("journal ls: %s", out)
	}
}

// TestKillTheRepair kills a repair at many places of its dialogue with the server. The next one
// goes on, and leaves later writes of clients to repaired keys alone.
func TestKillTheRepair(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	p := startProxy(t, srv, repairConfig)
	relay := startKillRelay(t, srv.Addr)
	relay.marks = [][]byte{[]byte("WATCH\r\n")}
	file := filepath.Join(filepath.Dir(p.file), "repair.yaml")
	if err := os.WriteFile(file, []byte(p.configAt(relay.Addr, repairConfig)), 0o600); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for n, at := 1, (point{}); ; n++ {
		relay.forget()
		want := lose(t, srv, p)
		args := []string{"repair", "--config", file, "--incident", fmt.Sprint(n), "--server-bin",
			srv.Binary.Path, "--conflicts", "skip"}
		cmd := plain.command(t, args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		started := make(chan struct{})
		relay.arm(at, func() { <-started; _ = cmd.Process.Kill() })
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		err := cmd.Wait()
		killed := relay.disarm()
		want["key:1"] = "since"
		if killed {
			kills++
			relay.settle(t, srv)
			srv.MustDo("APPEND", "key:2", " and since") // on top of new, or of old
			if got := srv.MustDo("GET", "key:2"); got == "new and since" {
				want["key:2"] = "new and since"
			} else {
				want["key:2"] = "old and since"
			}
			p.recordedAll(srv)
			mustRun(t, args...)
		} else if err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		if got := allKeys(t, srv); !maps.Equal(got, want) {
			t.Fatalf("%+v: %v\nwant %v", at, got, want)
		}
		if !killed {
			break
		}
		for range 39 << kills { // there are some 2,000 points: the early ones closer together
			at = at.next()
		}
	}
	if kills < 4 {
		t.Errorf("killed %d times", kills)
	}
}

func TestRepairUsage(t *testing.T) {
	for _, row := range []struct{ args, want string }{
		{"repair", "Give --config"},
		{"repair --config x", "Give --incident"},
		{"repair --config x --incident 1 --conflicts maybe", "none of skip, replace and list"},
		{"repair --config x --incident 1 --rate -1", "--rate"},
		{"repair --config x --incident 1 --scratch a:1 --server-bin b", "either --scratch or --server-bin"},
		{"repair --config x --incident 1 --scratch http://a", "is not redis"},
	} {
		code, _, errs := execute(t, strings.Fields(row.args)...)
		if code != exitUsage || !strings.Contains(errs, row.want) {
			t.Errorf("%s: %d %s", row.args, code, errs)
		}
	}
}
