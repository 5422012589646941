package drills

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/loadtest/harness"
)

// A smallDisk is a tmpfs, which needs root.
type smallDisk struct {
	s    *scene
	dir  string
	fill string // the file that takes what room there is
}

// disk mounts one of so many bytes below the operator's folder until the test ends.
func (s *scene) disk(name, size string) *smallDisk {
	s.Helper()
	d := &smallDisk{s: s, dir: filepath.Join(s.dir, name)}
	d.fill = filepath.Join(d.dir, "filler")
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		s.Fatal(err)
	}
	mount := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "drills", d.dir)
	if out, err := mount.CombinedOutput(); err != nil {
		s.Fatalf("a disk that can be full needs root: mount: %v: %s", err, out)
	}
	s.Cleanup(func() { _ = exec.Command("umount", "-l", d.dir).Run() })
	return d
}

// leave takes all the room but so many bytes.
func (d *smallDisk) leave(bytes int64) {
	d.s.Helper()
	f, err := os.Create(d.fill)
	if err != nil {
		d.s.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	var size int64
	for len(block) > 0 {
		n, err := f.Write(block)
		size += int64(n)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			d.s.Fatal(err)
		}
	}
	if err := f.Truncate(max(0, size-bytes)); err != nil {
		d.s.Fatal(err)
	}
}

// room gives it back.
func (d *smallDisk) room() {
	d.s.Helper()
	if err := os.Remove(d.fill); err != nil {
		d.s.Fatal(err)
	}
}

// rewriteFails begins a scene whose server's disk is full: its append-only file cannot be rewritten,
// and then not be written.
func (s *scene) rewriteFails() *smallDisk {
	s.Helper()
	d := s.disk("server", "64m")
	s.begin(s.server("--appendonly", "yes", "--dir", d.dir), payRoute)
	noise := rand.New(rand.NewPCG(1, 1)) // for values that no compression makes small
	all(s, dial(s, s.addr), 20_000, func(i int) []string {
		var b strings.Builder
		for b.Len() < 1000 {
			b.WriteString(strconv.FormatUint(noise.Uint64(), 36))
		}
		return []string{"SET", "big:" + strconv.Itoa(i), b.String()}
	})
	s.recorded()
	s.marked()
	d.leave(1 << 20)
	s.srv.MustDo("BGREWRITEAOF")
	s.await("the rewrite has failed", func() bool {
		return s.srv.Info("persistence")["aof_last_bgrewrite_status"] == "err"
	})
	s.ready(200, "could not be rewritten")
	s.pays("second", 100) // there is room for these
	s.marked()
	d.leave(0)
	for i := 0; ; i++ { // what fits in the last page is written; then one write is not
		v, err := s.command("SET", "free", strings.Repeat("y", 5000))
		if e, ok := v.(harness.ErrReply); ok && strings.HasPrefix(string(e), "MISCONF") {
			break
		}
		if err != nil || i > 1000 {
			s.Fatal(v, err)
		}
	}
	s.refused("MISCONF", "SET", "pay:now", "1")
	s.ready(503, "it cannot write its append-only file")
	s.alerts("HoldfastNotReady")
	s.recorded()
	return d
}

// rewriteFailsAndHeals: with room again, the server goes on by itself, and after a rewrite it may be
// restarted.
func rewriteFailsAndHeals(s *scene) {
	d := s.rewriteFails()
	want := contentsOf(s, s.srv.Addr)
	d.room()
	s.answered("SET", "pay:now", "1")
	s.run(0)
	s.ready(200, "ready\n")
	s.marked()
	s.srv.Stop()
	s.srv.Restart()
	if i := s.judged(1); i.Verdict != "nothing lost" {
		s.Fatalf("the verdict is %+v", i)
	}
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(contentsOf(s, s.srv.Addr), mine))
}

// rewriteFailsAndBreaks: it went on by itself, was restarted without a rewrite, and cannot read its
// own file: the journal's end goes to another server.
func rewriteFailsAndBreaks(s *scene) {
	d := s.rewriteFails()
	d.room()
	s.answered("SET", "pay:now", "1")
	s.recorded()
	want := contentsOf(s, s.srv.Addr)
	s.srv.Stop()
	err := s.srv.TryRestart()
	if err == nil {
		s.Fatal("it starts, and docs/recovery.md says that it does not")
	}
	s.heard(err.Error())
	s.tells("the server's log")
	dst := s.target()
	s.run(1)
	s.holds(dst.Addr, want)
}

// rewriteFailsAndRestarts: it was restarted before there was room, and lacks what its file lacks.
func rewriteFailsAndRestarts(s *scene) {
	d := s.rewriteFails()
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	d.room()
	s.srv.Restart()
	i := s.judged(1)
	if i.Verdict == "nothing lost" {
		s.Fatalf("the verdict is %+v", i)
	}
	s.run(0)
	s.answered("SET", "pay:now", "1")
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(contentsOf(s, s.srv.Addr), mine))
}

// journalDiskFull: the journal's disk fills under load. No payment is answered OK that it does not
// hold; with room again it goes on by itself, and the rest of the clients noticed nothing.
func journalDiskFull(s *scene) {
	d := s.disk("data", "64m")
	s.begin(s.server(), payRoute)
	fill(s, s.addr, 600)
	s.recorded()
	d.leave(4 << 20)
	paid := s.payUntil(func() {}, "UNCONFIRMED", "NODURABLE")
	s.ready(200, "the journal")
	s.alerts("HoldfastProofUnavailable")
	s.refused("NODURABLE", "SET", "pay:now", "1")
	later(s, s.addr, 20)
	room := time.Now()
	d.room()
	s.answered("SET", "pay:now", "1")
	s.took = time.Since(room)
	s.ready(200, "ready\n")
	s.recorded()
	want := contentsOf(s, s.srv.Addr)
	s.hasAll(want, paid)
	dst := s.target()
	if out, err := s.shell("proxy restore --dir data/journal --end --target " + dst.Addr); err != nil {
		s.Fatal(err, out)
	}
	s.holds(dst.Addr, want)
}
