package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// A restoreKill is a step of a restore at which its process is killed.
type restoreKill struct {
	name    string
	own     bool             // the target holds data of its own, and is forced
	data    *proxytest.Fault // on the way of the data; nil: the target cannot come at all
	control *proxytest.Fault // on the way to the target
	until   func(dst *proxytest.Server) bool
	text    string // a dry run's finding about the target then
	said    string // the restore's own output, if it is interrupted
}

func role(dst *proxytest.Server) string { return dst.Info("replication")["role"] }

// linked reports whether a target has loaded the base.
func linked(dst *proxytest.Server) bool {
	return dst.Info("replication")["master_link_status"] == "up"
}

func restoreKills(base int) []restoreKill {
	stall := func(after int) *proxytest.Fault {
		return &proxytest.Fault{Op: proxytest.Stall, On: proxytest.Replies, Trigger: "PSYNC",
			After: after}
	}
	syncing := func(dst *proxytest.Server) bool {
		return dst.Info("replication")["master_sync_in_progress"] == "1"
	}
	return []restoreKill{
		{name: "before it has come", until: func(dst *proxytest.Server) bool {
			return role(dst) == "slave"
		}, text: "where nothing answers, as a restore that was cut off leaves it; it holds nothing",
			said: "the target's own data is untouched, and it is a primary again"},
		{name: "before it has come, own data", own: true, until: func(dst *proxytest.Server) bool {
			return role(dst) == "slave"
		}, text: "it holds db0: 1 key", said: "the target's own data is untouched, and it is a primary again"},
		{name: "within the base", data: stall(base / 2), until: syncing, text: "it holds nothing",
			said: "the target's own data is untouched"},
		{name: "within the base, own data", own: true, data: stall(base / 2), until: syncing,
			text: "it holds db0: 1 key", said: "the target's own data is untouched"},
		{name: "behind the base", data: stall(base + 200), until: linked,
			text: "it holds the base", said: "is left a replica of "},
		{name: "within the stream", data: stall(base + 50_000), until: func(dst *proxytest.Server) bool {
			return linked(dst) && dst.MustDo("EXISTS", "stream:0") == int64(1)
		}, text: "it holds the base and the stream up to offset ", said: "is left a replica of "},
		{name: "promoted", data: &proxytest.Fault{Op: proxytest.Delay}, control: &proxytest.Fault{
			Op: proxytest.Stall, On: proxytest.Replies, Trigger: "\r\nREPLICAOF\r\n$2\r\nNO\r\n"},
			until: func(dst *proxytest.Server) bool {
				return role(dst) == "master" && dst.MustDo("EXISTS", "stream:999") == int64(1)
			}, text: "it stands at this very point already", said: "the target is a primary and holds "},
	}
}

// TestKillTheRestore kills a restore at each of its steps. The state of the target is then
// reported, and the next restore ends at the point.
func TestKillTheRestore(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, recordedArgs...)
	for i := range 1000 {
		srv.MustDo("SET", fmt.Sprint("base:", i), strings.Repeat("x", 50)+fmt.Sprint(i))
	}
	p := startProxy(t, srv, recordingConfig)
	p.recordedAll(srv)
	for i := range 1000 {
		srv.MustDo("SET", fmt.Sprint("stream:", i), strings.Repeat("x", 100))
	}
	want := srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	p.stop() // no PING changes the point
	var v journalView
	if err := json.Unmarshal([]byte(mustRun(t, "journal", "ls", "--dir", p.folder(), "--json")),
		&v); err != nil {
		t.Fatal(err)
	}
	for _, k := range restoreKills(int(v.Bases[0].Size)) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.play(t, p.folder(), want, func(again []string, _ string) {
				_, stdout, stderr := execute(t, append(again, "--dry-run")...)
				if !strings.Contains(stdout+stderr, k.text) {
					t.Errorf("a dry run says\n%s%s\nwant %q in it", stdout, stderr, k.text)
				}
			}, os.Kill)
		})
		t.Run(k.name+", interrupted", func(t *testing.T) {
			t.Parallel()
			k.play(t, p.folder(), want, func(_ []string, said string) {
				if !strings.Contains(said, "interrupted: ") || !strings.Contains(said, k.said) {
					t.Errorf("it says\n%s\nwant %q in it", said, k.said)
				}
			}, os.Interrupt)
		})
	}
}

// play ends a restore at the step and checks the report on the target; the next restore is exact.
func (k *restoreKill) play(t *testing.T, dir string, want any, look func(again []string, said string),
	by os.Signal) {
	t.Helper()
	dst := proxytest.StartServer(t, recordedArgs...)
	if k.own {
		dst.MustDo("SET", "own", 1)
	}
	said := k.cutOff(t, dir, dst, by)
	again := []string{"restore", "--dir", dir, "--end", "--target", dst.Addr}
	look(again, said)
	mustRun(t, append(again, "--force")...)
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want || role(dst) != "master" {
		t.Errorf("a %s with digest %v, want %v", role(dst), got, want)
	}
}

// cutOff begins a restore, ends it at the step by a signal, and returns its output.
func (k *restoreKill) cutOff(t *testing.T, dir string, dst *proxytest.Server, by os.Signal) string {
	t.Helper()
	listen := freeAddr(t)
	data, control := proxytest.StartFaultProxy(t, listen), proxytest.StartFaultProxy(t, dst.Addr)
	if k.data == nil {
		data.Refuse()
	} else {
		data.Arm(*k.data)
	}
	if k.control != nil {
		control.Arm(*k.control)
	}
	cmd := plain.command(t, "restore", "--dir", dir, "--end", "--target", control.Addr,
		"--listen", listen, "--advertise", data.Addr, "--force")
	var out proxytest.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		data.Refuse()
		data.CutAll() // what waits in the relay must not arrive after all
		control.CutAll()
		if t.Failed() {
			t.Log(out.String())
		}
	}()
	proxytest.Poll(t, "the step", func() bool { return k.until(dst) })
	if by == os.Interrupt {
		if err := cmd.Process.Signal(by); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("it says that it was done")
		}
	}
	return out.String()
}
