package page

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/admin"
)

func TestSpots(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 29, 14, 3, 6, 250e6, time.UTC)
	for text, want := range map[string]Spot{
		"2026-11-29T15:03:06.2509+01:00": {Time: at}, "2@4099": {Timeline: 2, Offset: 4099}, "1@0": {Timeline: 1},
		"1@4000-5000": {Timeline: 1, Offset: 4000, To: 5000},
	} {
		if got, ok := parseSpot(text); !ok || got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
		if !want.Time.IsZero() {
			continue
		}
		if got := spotOf(want.Timeline, want.Offset, want.To); got != text {
			t.Errorf("%+v is %q, want %q", want, got, text)
		}
	}
	for _, text := range []string{"", "@", "0@5", "1@", "@5", "1@-5", "-1@5", "1@5-", "1@5-5", "1@5-4", "1@5-6-7", "4294967296@5", "+1@5",
		"1@9223372036854775808", "1@0x5", "1@5 ", "1@5_0", "1@1@1"} {
		if got, ok := parseSpot(text); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

// The page of a moment has the keys there and now, and the commands in between; each mark leads to its own.
func TestPreviewOnThePage(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{name: "SET<b>"})
	now := time.Now().UTC()
	at := now.Add(-time.Minute)
	s.proxy.health = func(*admin.Stats) {}
	s.want(s.do("/?at="+at.Format("2006-01-02T15:04:05.000Z"), nil), http.StatusOK,
		`<dt>Keys there</dt><dd class="wrap">db0 1,200,000 (exact)</dd>`,
		`<dt>Keys now</dt><dd class="wrap">db0 12 to 15, db9 (of the trash) 1,000 (at least and at most, by the commands since `,
		`<dt>In between</dt><dd class="wrap">1,040 commands in 4.00MiB of stream: 1,000 SET&lt;b&gt;, 30 DEL, 10 others</dd>`,
		`<dt>The cut</dt><dd class="wrap">offset 5000 of timeline 2, behind a command of 2026-11-29 14:03:05.000 UTC</dd>`,
		`<dt>Destroyed since</dt><dd class="wrap">event 3, SET&lt;b&gt;, of 2026-11-29 14:03:05 UTC</dd>`, `--dry-run`)
	s.want(s.do("/", nil), http.StatusOK, `href="/?at=2%404099#chosen"`, `href="/?at=1%404000-5000#chosen"`,
		`href="/?at=2%406000-7000#chosen"`, `href="/?at=1%4010#chosen"`, "Keys: db0 12 to 15 (at least")
	s.want(s.do("/?at=1%404000-5000", nil), http.StatusOK, "<h3>Incident 1: lost, open</h3>", "Keys after these commands",
		"proxy restore --dir /var/lib/holdfast/journal --timeline 1 --to 4000 --dry-run", "proxy repair --config h.yaml --incident 1")
	s.want(s.do("/?at=7%4099", nil), http.StatusOK, "<h3>Offset 99 of timeline 7</h3>", "--timeline 7 --to 99 --target ADDRESS")
	spots := slices.Clone(s.proxy.spots)
	want := []Spot{{Time: at.Truncate(time.Millisecond)}, {Timeline: 1, Offset: 4000, To: 5000}, {Timeline: 7, Offset: 99}}
	if !slices.Equal(spots, want) {
		t.Errorf("asked for %+v, want %+v", spots, want)
	}
}

// Numbers that are not exact, missing parts and errors are said as such.
func TestFacts(t *testing.T) {
	t.Parallel()
	st := &state{Events: part[[]admin.Event]{V: []admin.Event{{N: 1, Timeline: 1, From: 9}, {N: 2, Timeline: 2, From: 10, What: "a"},
		{N: 3, Timeline: 2, From: 11, What: "b"}, {N: 4, Timeline: 3, From: 0, What: "c"}, {N: 5, Timeline: 3, What: "d"}}}}
	has := func(label string, facts []fact, want ...string) {
		t.Helper()
		var text strings.Builder
		for _, f := range facts {
			text.WriteString(f.What + ": " + f.Text + "\n")
		}
		for _, w := range want {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s: %q is missing in:\n%s", label, w, text.String())
			}
		}
	}
	has("an error", factsOf(Spot{}, part[*Preview]{Err: "no base\x1b"}, st), `Keys there: unknown: no base?`)
	has("nothing known", factsOf(Spot{}, part[*Preview]{V: &Preview{Left: true}}, st), "Keys there: unknown: nothing in reach counts them",
		"In between: no command", "has left this history")
	has("not reached", factsOf(Spot{}, part[*Preview]{V: &Preview{Short: "a limit", Offset: 7, Timeline: 2, Keys: Keys{Known: true}}}, st),
		"Keys there: not known exactly: a limit. The command with --dry-run", "Keys before it: none (exact), at offset 7 of timeline 2",
		"Keys now: unknown")
	if f := factsOf(Spot{To: 9}, part[*Preview]{V: &Preview{Short: "a limit"}}, st); len(f) != 2 {
		t.Errorf("a range that was not reached: %+v", f)
	}
	partly := &Preview{Timeline: 2, Offset: 10, Keys: Keys{DBs: []DBKeys{{3, 4, 4}}}, Bytes: 3 << 20, Read: 1 << 20, Commands: 1,
		Names: []CommandCount{{"SET", 1}}, SinceShort: "a limit"}
	has("partly", factsOf(Spot{}, part[*Preview]{V: partly}, st), "Keys there: db3 4; other databases unknown",
		"In between: at least 1 command in the first 1.00MiB of 3.00MiB of stream: 1 SET. There the reading ended: a limit",
		"Destroyed since: event 2, a, of", "; event 3, b, of", "event 4, c, of", "; and 1 later event")
}

// Previews are made one at a time, each is followed by a rest, the last one is kept for a moment, and a disk that
// hangs costs the answer and not the page.
func TestPreviewsRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeProxy{name: "x", slow: func(ctx context.Context) { time.Sleep(100 * time.Millisecond) }}
		p := newPreviews(newSource(f, nil))
		ctx, begun := context.Background(), time.Now()
		const took = 100 * time.Millisecond
		ask := func(n int) (time.Duration, string) {
			a := p.get(ctx, Spot{Timeline: uint32(n)})
			return time.Since(begun), a.Err
		}
		burst := int(previewBurst / (previewShare * took))
		rest := (previewShare - 1) * took
		for n := range burst + 1 {
			for range 2 { // the second time from memory
				if at, err := ask(n + 1); at != time.Duration(n+1)*took || err != "" {
					t.Fatalf("preview %d: after %s, %q", n+1, at, err)
				}
			}
		}
		for time.Until(p.due) < rest { // it has been idle for none of that time
			ask(100 + len(f.spots))
		}
		from := time.Since(begun)
		for n := range 3 {
			if at, err := ask(1000 + n); at-from != time.Duration(n+1)*(rest+took) || err != "" {
				t.Errorf("behind the burst: %d: %s after, %q", n+1, at-from, err)
			}
		}
		if n := len(f.spots); n < burst+4 {
			t.Errorf("%d asked", n)
		}
		hung := make(chan struct{})
		f.slow = func(context.Context) { <-hung }
		time.Sleep(time.Minute)
		if a := p.get(ctx, Spot{Timeline: 4}); !strings.Contains(a.Err, "no answer within 500ms") {
			t.Errorf("a disk that hangs: %+v", a)
		}
		if a := p.get(ctx, Spot{Timeline: 5}); !strings.Contains(a.Err, "other previews") {
			t.Errorf("behind it: %+v", a)
		}
		close(hung)
		synctest.Wait()
		f.slow = nil
		time.Sleep(time.Minute)
		if a := p.get(ctx, Spot{Timeline: 5}); a.Err != "" {
			t.Errorf("afterwards: %+v", a)
		}
		time.Sleep(time.Minute)
		left, leave := context.WithCancel(ctx)
		f.slow = func(ctx context.Context) { leave(); <-ctx.Done() }
		f.hangs = true
		if a := p.get(left, Spot{Timeline: 6}); a.V != nil {
			t.Errorf("a client that has left: %+v", a)
		}
		synctest.Wait()
		f.slow, f.hangs = nil, false
		if a := p.get(ctx, Spot{Timeline: 6}); a.Err != "" {
			t.Errorf("the next one got the answer of the one that left: %+v", a)
		}
		f.err = errors.New("no\x00 base")
		time.Sleep(time.Minute)
		if a := p.get(ctx, Spot{Timeline: 7}); a.Err != "no? base" {
			t.Errorf("an error: %+v", a)
		}
	})
}
