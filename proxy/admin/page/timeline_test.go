package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/journal/quantity"
	"holdfast/proxy/admin"
)

// runsOf are the commands of a moment.
func runsOf(m *moment) (out []string) {
	for _, r := range m.Runs {
		out = append(out, r.Command)
	}
	return out
}

func testState(t *testing.T, dir string) *state {
	t.Helper()
	f := &fakeProxy{name: "2 FLUSHALL"}
	st := newSource(f, nil).ask()
	st.At = testTime.Add(time.Minute)
	st.Journal.V.Dir = dir
	return st
}

// Each mark has the exact command for its moment; a folder's name is one word for a shell.
func TestMoments(t *testing.T) {
	t.Parallel()
	l := lineOf(testState(t, "/srv/it's here"))
	const dir = `'/srv/it'\''s here'`
	want := map[string]string{
		"event-3": "proxy restore --dir " + dir + " --event 3 --target ADDRESS|proxy restore --dir " + dir +
			" --event 3 --keep-later --force --target 10.0.0.5:6379",
		"incident-1":  "proxy repair --config h.yaml --incident 1",
		"base-2-4099": "proxy restore --dir " + dir + " --timeline 2 --to 4099 --target ADDRESS",
		"gap-1-10":    "proxy restore --dir " + dir + " --timeline 1 --to 10 --target ADDRESS",
		"now": "proxy restore --dir " + dir + " --end --target ADDRESS|proxy recover --config /etc/holdfast/h.yaml " +
			"--to redis://ADDRESS",
	}
	seen := 0
	for i := range l.Moments {
		m := &l.Moments[i]
		if i > 0 && m.At.After(l.Moments[i-1].At) {
			t.Errorf("%s is out of order", m.ID)
		}
		if w, ok := want[m.ID]; ok {
			seen++
			if got := strings.Join(runsOf(m), "|"); got != w {
				t.Errorf("%s:\n got %s\nwant %s", m.ID, got, w)
			}
		}
	}
	if seen != len(want) || l.Moments[0].ID != "now" || l.Moments[0].X != "99.00%" {
		t.Errorf("%d of the moments; the first: %+v", seen, l.Moments[0])
	}
	if !l.From.Equal(testTime.Add(-time.Hour)) || l.Omitted[0] != "60 older snapshots: proxy journal ls --dir "+dir {
		t.Errorf("from %v, omitted %q", l.From, l.Omitted)
	}
	if e := l.Moments[1]; !strings.Contains(e.Notes[0], "Keys before: db0 2 FLUSHALL. After: no keys.") {
		t.Errorf("no keys before and after: %+v", e)
	}
}

// A journal that has just begun, lists that fail and times that are unknown leave a timeline.
func TestThinTimeline(t *testing.T) {
	t.Parallel()
	st := &state{At: testTime, Journal: part[*admin.Journal]{V: &admin.Journal{Dir: "j"}},
		History: part[*History]{Err: "no"}, Events: part[[]admin.Event]{Err: "gone"}}
	l := lineOf(st)
	if len(l.Moments) != 1 || fmt.Sprint(l.Problems) != "[gone no]" || l.Moments[0].X != "1.00%" {
		t.Errorf("%+v", l)
	}
	st.History = part[*History]{V: &History{Gaps: []Gap{{}}}}
	if l = lineOf(st); l.From.Year() != testTime.Year() || l.Moments[1].X != "1.00%" {
		t.Errorf("a gap of no time: from %v, %+v", l.From, l.Moments)
	}
	st.Journal = part[*admin.Journal]{Err: admin.ErrNoJournal.Error()}
	if l = lineOf(st); !strings.Contains(l.None, "keeps no journal") {
		t.Errorf("%+v", l)
	}
}

// A moment that the reader names gets its commands, or the reason why there are none.
func TestChosenMoment(t *testing.T) {
	t.Parallel()
	st := testState(t, "/j")
	l := lineOf(st)
	const two = "proxy restore --dir /j --to 2026-11-29T14:03:06Z --dry-run|proxy restore --dir /j --to 2026-11-29T14:03:06Z " +
		"--target ADDRESS|proxy restore --config /etc/holdfast/h.yaml --keys 'PATTERN' --to 2026-11-29T14:03:06Z --into live"
	for text, want := range map[string]string{
		"2026-11-29 14:03:06":       two,
		"2026-11-29T14:03:06Z":      two,
		"2026-11-29 14:03:06 UTC":   two,
		"2026-11-29T15:03:06+01:00": two,
		"2026-11-29T14:03:06.25Z":   strings.ReplaceAll(two, ":06Z", ":06.25Z"),
		"2026-11-29 14:03":          strings.ReplaceAll(two, ":06Z", ":00Z"),
		"2026-11-29 12:00:00":       "The journal does not reach back to it. The oldest moment that can be rebuilt is 2026-11-29 13:03:05 UTC.",
		"2026-11-29 14:05:00":       "It has not come yet.",
		"yesterday":                 "Write it as 2026-03-01 14:03:05, in UTC.",
		"2026-11-31 14:03:06":       "Write it as 2026-03-01 14:03:05, in UTC.",
		"'; rm -rf /; '":            "Write it as 2026-03-01 14:03:05, in UTC.",
	} {
		m := l.at(text, st)
		got := strings.Join(runsOf(m), "|")
		if got == "" {
			got = m.Notes[0]
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	if m := l.at("2026-11-29 14:03:06", st); m.Notes[0] != "It is after Event 3: 2 FLUSHALL, of 2026-11-29 14:03:05 UTC." {
		t.Errorf("the event before it: %q", m.Notes)
	}
	st.Journal.V.Oldest = time.Time{}
	if m := l.at("2026-11-29 14:03:06", st); m.Runs != nil {
		t.Errorf("no base: %+v", m)
	}
	st.Journal = part[*admin.Journal]{Err: "no journal"}
	if m := l.at("2026-11-29 14:03:06", st); m.Runs != nil || m.Notes[0] != "no journal" {
		t.Errorf("no journal: %+v", m)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/var/lib/holdfast": "/var/lib/holdfast", "": "''", "-x": "'-x'", "a b": "'a b'", "$(x)": "'$(x)'", "it's": `'it'\''s'`,
		"[::1]:6379": "'[::1]:6379'", "ä": "'ä'",
	} {
		if got := admin.ShellWord(in); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
	for want, got := range map[string]string{
		"-1,234": quantity.Grouped(-1234), "123": quantity.Grouped(uint64(123)), "1,000,000": quantity.Grouped(int64(1000000)), "-123": quantity.Grouped(-123),
		"1 key": counted(1, "key"), "2 keys": counted(2, "key"), "0 entries": counted(0, "entry"),
		"1,000 queries": counted(1000, "query"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
