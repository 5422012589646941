package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/proxy/proxytest"
)

// TestEndTheRestoreOfKeys ends a restore of keys in the middle: by ^C, which removes the scratch server,
// and by a kill, after which the next run does. That one finishes, too.
func TestEndTheRestoreOfKeys(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	const keys = 2000
	for i := range keys {
		srv.MustDo("SET", fmt.Sprint("k", i), i)
	}
	p.recordedAll(srv)
	from := srv.Info("replication")["master_repl_offset"]
	srv.MustDo("EVAL", "for i = 0, ARGV[1] - 1 do redis.call('DEL', 'k' .. i) end", 0, keys)
	p.recordedAll(srv)
	to := srv.Info("replication")["master_repl_offset"]
	dir := proxytest.ShortDir(t)
	args := []string{"restore", "--dir", p.folder(), "--changed-between", from + "," + to, "--server-bin",
		srv.Binary.Path}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGKILL} {
		relay := proxytest.StartFaultProxy(t, srv.Addr)
		relay.Arm(proxytest.Fault{Op: proxytest.Stall, On: proxytest.Replies, Trigger: "\r\nEXEC\r\n", After: 2000})
		cmd := plain.command(t, append(args, "--into", relay.Addr)...)
		cmd.Env = append(cmd.Environ(), "TMPDIR="+dir)
		var out proxytest.Log
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		proxytest.Poll(t, "some keys to be there", func() bool { return srv.MustDo("EXISTS", "k1") == int64(1) })
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if signal == os.Interrupt {
			relay.CutAll() // the step begun is finished, or its end is known
		}
		_ = cmd.Wait()
		relay.Refuse()
		left, _ := filepath.Glob(filepath.Join(dir, "holdfast-scratch-*"))
		if signal == os.Interrupt && (len(left) > 0 || cmd.ProcessState.ExitCode() != exitFailed) {
			t.Errorf("it left %q and ended with %v\n%s", left, cmd.ProcessState, out.String())
		}
	}
	cmd := plain.command(t, append(args, "--into", srv.Addr)...)
	cmd.Env = append(cmd.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\ndone: ") {
		t.Errorf("%v\n%s", err, out)
	}
	for i := range keys {
		if v := srv.MustDo("GET", fmt.Sprint("k", i)); v != fmt.Sprint(i) {
			t.Fatalf("k%d is %v", i, v)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "holdfast-scratch-*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
