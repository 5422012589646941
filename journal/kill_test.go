package journal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killedDir tells a copy of the test program to be the process that is killed.
const killedDir = "JOURNAL_TEST_KILLED_DIR"

// TestMain runs the tests, or is the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		if err := appendUntilKilled(dir); err != nil {
			fmt.Println("error:", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendUntilKilled appends for ever and prints each durable offset.
func appendUntilKilled(dir string) error {
	j, err := Open(Options{Dir: dir, SegmentBytes: 64 << 10, Poll: time.Millisecond})
	if err != nil {
		return err
	}
	cur, ok := j.Current()
	if !ok {
		if cur, err = j.StartTimeline(context.Background(), TimelineStart{ReplID: "k"}); err != nil {
			return err
		}
	}
	j.Subscribe(func(p Position) { fmt.Println("durable", p.Offset) })
	for at := cur.End; ; {
		n := at%5000 + 1
		if err := j.Append(context.Background(), cur.ID, at, contentOf(at, at+n)); err != nil {
			return err
		}
		at += n
		if at%3 == 0 { // else the next ones come together with it
			if err := j.WaitDurable(context.Background(), Position{cur.ID, at}); err != nil {
				return err
			}
		}
	}
}

// TestKill kills a process that writes, without warning, again and again: what it said was durable
// is there, and the folder is free at once. This proves recovery and the lock, not fsync: the page
// cache survives a process. TestCrashAnywhere is for that.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	promised := int64(0)
	for round := range 8 {
		promised = killOne(t, dir, 5+round*7, promised)
		v, err := OpenView(nil, dir)
		if err != nil {
			t.Fatal(err)
		}
		cur, _ := v.Current()
		if cur.End < promised {
			t.Fatalf("round %d: end %d, promised %d", round, cur.End, promised)
		}
		wantContent(t, v, cur.ID, 0, cur.End)
		wantSound(t, v)
	}
}

// killOne lets a process write until it has said often enough what is durable, and gives the last
// it said.
func killOne(t *testing.T, dir string, lines int, promised int64) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for s := bufio.NewScanner(out); s.Scan(); lines-- {
		text, ok := strings.CutPrefix(s.Text(), "durable ")
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil {
			t.Errorf("the process said %q", s.Text())
			continue
		}
		promised = max(promised, n)
		if lines <= 0 && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if !killed {
		t.Fatal("the process ended by itself")
	}
	return promised
}
