package repair

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// TestOthersAreNotTouched watches what a repair says to the live server: it names no key that the lost
// history has not touched, not even to read it.
func TestOthersAreNotTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for i := range 300 {
		r.srv.MustDo("SET", fmt.Sprint("untouched:", i), i)
		r.srv.MustDo("SET", fmt.Sprint("touched:", i), i)
	}
	ways[0].keep(r)
	for i := range 300 {
		r.srv.MustDo("INCR", fmt.Sprint("touched:", i))
	}
	r.recorded()
	ways[0].lose(r)
	n := r.incident()
	conn, err := r.srv.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(proxytest.Command("MONITOR"))); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	o := r.options(n)
	o.Item = nil
	if rep := r.repair(o); rep.Restored != 300 || !rep.Done() {
		t.Errorf("%+v", rep)
	}
	r.srv.MustDo("PING", "the end")
	touched := 0
	for lines.Scan() && !strings.Contains(lines.Text(), "the end") {
		if strings.Contains(lines.Text(), `"untouched`) {
			t.Fatal(lines.Text())
		}
		if strings.Contains(lines.Text(), `"touched`) {
			touched++
		}
	}
	if touched < 300 || lines.Err() != nil {
		t.Errorf("%d commands about keys, %v", touched, lines.Err())
	}
}

// TestNoRepair has nothing to repair, or cannot.
func TestNoRepair(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	if _, err := Run(context.Background(), r.options(1)); !errors.Is(err, ErrIncident) {
		t.Errorf("no incident: %v", err)
	}
	r.srv.MustDo("SET", "a", 1)
	ways[0].keep(r)
	r.srv.MustDo("SET", "a", 2)
	r.recorded()
	ways[0].lose(r)
	n := r.incident()
	unlock, err := Lock(nil, r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(nil, r.dir); !errors.Is(err, ErrRunning) {
		t.Errorf("two at once: %v", err)
	}
	unlock()
	other := proxytest.StartServer(t)
	r.srv.MustDo("REPLICAOF", "127.0.0.1", other.Port)
	if _, err := Run(context.Background(), r.options(n)); !errors.Is(err, ErrLive) {
		t.Errorf("a replica: %v", err)
	}
	r.srv.MustDo("REPLICAOF", "NO", "ONE")
	r.attached()
	for _, in := range r.j.Incidents() {
		if err := r.j.CloseIncident(context.Background(), in, "acknowledged"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Run(context.Background(), r.options(n)); !errors.Is(err, ErrIncident) {
		t.Errorf("a closed incident: %v", err)
	}
}

// TestWordOfARepair has the process that writes the journal close an incident, and none but the one
// that the word is about.
func TestWordOfARepair(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.srv.MustDo("SET", "a", 1)
	ways[0].keep(r)
	r.srv.MustDo("SET", "a", 2)
	r.recorded()
	ways[0].lose(r)
	n := r.incident()
	in, _ := mustView(t, r).Incident(n)
	wrong := in
	wrong.Time = in.Time.Add(1)
	if err := journal.LeaveWord(nil, r.dir, wrong, journal.Settlement{How: "wrong"}); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s/repaired-%d.json", r.dir, n)
	proxytest.Poll(t, "the word to be read", func() bool { return !exists(name) })
	if in, _ = mustView(t, r).Incident(n); !in.Open() {
		t.Errorf("a word about another incident has closed it: %+v", in)
	}
	if err := journal.LeaveWord(nil, r.dir, in, journal.Settlement{How: "repaired"}); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the incident to be closed", func() bool {
		in, _ := mustView(t, r).Incident(n)
		return !in.Open() && in.How == "repaired" && !exists(name)
	})
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func mustView(t *testing.T, r *rig) *journal.View {
	t.Helper()
	v, err := r.j.View()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
