package journal

import (
	"encoding/json"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
)

// What was counted and judged is there after a restart, and in every segment's beginning.
func TestCountsAndIncidentsStay(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	j := open(t, o)
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 100)
	if err := j.NoteCounts(tl.ID, Counts{Offset: 90, Keys: map[int]int64{0: 3, 15: 1}, Mark: 80}); err != nil {
		t.Fatal(err)
	}
	if err := j.NoteCounts(99, Counts{}); err == nil {
		t.Error("counts of no timeline")
	}
	lost := Incident{Timeline: tl.ID, From: 50, Least: 60, To: 100, Commands: 3, Verdict: Lost, Hold: true}
	if err := j.AddIncident(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	add(t, j, tl.ID, 100, 40<<10) // into further segments
	check := func(j *Journal, open bool) Incident {
		t.Helper()
		cur, _ := j.Current()
		if cur.Counts == nil || cur.Counts.Offset != 90 || cur.Counts.Total() != 4 ||
			cur.Counts.Mark != 80 || cur.Counts.Time.IsZero() {
			t.Errorf("counts %+v", cur.Counts)
		}
		in := j.Incidents()
		if len(in) != 1 || in[0].Open() != open || (j.Held() != nil) != open || !in[0].IsLoss() ||
			j.Stats().Incidents != 1 || j.Stats().Verdicts[Lost].Open != map[bool]int{true: 1}[open] {
			t.Fatalf("%+v, held %v, stats %+v", in, j.Held(), j.Stats())
		}
		return in[0]
	}
	check(j, true)
	closeJournal(t, j)
	j = open(t, o)
	i := check(j, true)
	if err := j.CloseIncident(t.Context(), i, "acknowledged"); err != nil {
		t.Fatal(err)
	}
	if i = check(j, false); i.How != "acknowledged" || i.Commands != 3 {
		t.Errorf("%+v", i)
	}
	closeJournal(t, j)
	check(open(t, o), false)
}

// A loss that comes twice while it is open is one incident, also after a restart; another loss has another number.
func TestOneLossIsOneIncident(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	j := open(t, o)
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 100)
	lost := Incident{Timeline: tl.ID, From: 50, Least: 50, To: 100, Verdict: Lost, Hold: true}
	for range 2 {
		lost.Time = lost.Time.Add(time.Second)
		if err := j.AddIncident(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
	}
	other := lost
	other.From, other.Least, other.N, other.Time = 70, 70, 1, lost.Time.Add(time.Second) // recorded with the same number
	if err := j.AddIncident(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	check := func(j *Journal, open bool) Incident {
		t.Helper()
		in := j.Incidents()
		if len(in) != 2 || in[0].N != 1 || in[1].N != 2 || in[0].Open() != open || in[0].From != 50 {
			t.Fatalf("%+v", in)
		}
		return in[0]
	}
	i := check(j, true)
	closeJournal(t, j)
	j = open(t, o)
	check(j, true)
	if err := j.CloseIncident(t.Context(), i, "repaired"); err != nil {
		t.Fatal(err)
	}
	check(j, false)
	lost.Time = lost.Time.Add(time.Hour) // the same, lost once more after it came back
	if err := j.AddIncident(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if in := j.Incidents(); len(in) != 3 || in[2].N != 3 || !in[2].Open() {
		t.Errorf("%+v", in)
	}
	closeJournal(t, j)
}

// A timeline that continues another one at its end begins with as many keys.
func TestCountsAreInherited(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 100)
	if err := j.NoteCounts(tl.ID, Counts{Offset: 100, Keys: map[int]int64{0: 3}}); err != nil {
		t.Fatal(err)
	}
	add(t, j, tl.ID, 100, 200)
	for fork, want := range map[int64]int64{200: 3, 50: 0} {
		child, err := j.StartTimeline(t.Context(), TimelineStart{ReplID: "b", Start: fork,
			Parent: tl.ID, Fork: fork})
		if err != nil || child.Counts.Total() != want {
			t.Errorf("fork at %d: %+v, %v", fork, child.Counts, err)
		}
	}
}

// Incidents of older folders have no verdict: lost tails are losses, and nothing is held for them.
func TestIncidentsOfOlderFolders(t *testing.T) {
	for text, loss := range map[string]bool{
		`{"timeline":1,"from":5,"to":9,"commands":2}`:                   true,
		`{"timeline":1,"from":9,"to":9,"commands":-1,"replaced":true}`:  false,
		`{"timeline":1,"to":9,"verdict":"in question","replaced":true}`: false,
		`{"timeline":1,"to":9,"verdict":"lost","replaced":true}`:        true,
	} {
		var i Incident
		if err := json.Unmarshal([]byte(text), &i); err != nil {
			t.Fatal(err)
		}
		if i.IsLoss() != loss || !i.Open() || i.Hold {
			t.Errorf("%s: %+v", text, i)
		}
	}
}

// A history that contains the lost range again closes the incident; one that leaves before it does
// not.
func TestRecovered(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	one := start(t, j, "a", 0)
	add(t, j, one.ID, 0, 100)
	lost := Incident{Timeline: one.ID, From: 60, To: 100, Time: time.Unix(5, 0)}
	for _, row := range []struct {
		fork int64
		want bool
	}{{60, false}, {80, false}, {100, true}} {
		if _, err := j.StartTimeline(t.Context(), TimelineStart{ReplID: "b", Start: row.fork,
			Parent: one.ID, Fork: row.fork}); err != nil {
			t.Fatal(err)
		}
		v, err := j.View()
		if err != nil || v.Recovered(lost) != row.want {
			t.Errorf("fork at %d: %v, %v", row.fork, v.Recovered(lost), err)
		}
	}
}

// The word of a restore is there once it was left, and one that is torn is none.
func TestRestoredWord(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	if _, ok, err := j.Restored(); ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, want := range []Restored{{RunID: "a", Offset: 5, Time: time.Unix(9, 0)}, {RunID: "b", Offset: 7}} {
		if err := LeaveRestored(disk, testDir, want); err != nil {
			t.Fatal(err)
		}
		got, ok, err := j.Restored()
		if err != nil || !ok || got.RunID != want.RunID || got.Offset != want.Offset ||
			!got.Time.Equal(want.Time) {
			t.Errorf("%+v, %t, %v", got, ok, err)
		}
	}
	if err := j.ForgetRestored(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := j.Restored(); ok || err != nil {
		t.Error(ok, err)
	}
	f, err := disk.Create(j.path(restoredName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("{torn"), 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, ok, err := j.Restored(); ok || err != nil {
		t.Error("torn:", ok, err)
	}
}
