package journal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"holdfast/journal/segment"
)

// What a catalog carries into a new segment builds the same catalog.
func TestCarried(t *testing.T) {
	c, _ := history(t, time.Unix(1e9, 0), lostTail)
	c.gaps = []Gap{{Timeline: 1, From: 20, To: 30, Why: "backlog"}}
	c.incidents = []Incident{{N: 1, Timeline: 1, From: 300, To: 500, Commands: 7}}
	for i := range 3000 { // more than a block holds
		c.incidents = append(c.incidents, Incident{N: i + 2, Timeline: 2, Why: strings.Repeat("w", 100)})
	}
	blocks, err := c.carried(time.Unix(5, 0))
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) < 2 {
		t.Errorf("%d blocks", len(blocks))
	}
	got := &catalog{}
	for _, b := range blocks {
		for i := range b.Frames() {
			f, p := b.Frame(i)
			if f.Flags&segment.FlagCarried == 0 {
				t.Fatalf("%v frame is not marked", f.Type)
			}
			if err := got.apply(f, len(p), p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := asJSON(t, c), asJSON(t, got); a != b {
		t.Errorf("%.300s\nwant %.300s", b, a)
	}
}

func asJSON(t *testing.T, c *catalog) string {
	t.Helper()
	p, err := json.Marshal([]any{c.timelines, c.gaps, c.incidents, c.bases})
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestApplyRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		frame   segment.Frame
		size    int
		payload string
	}{
		"stream of no timeline": {segment.Frame{Type: segment.Stream, Timeline: 9}, 5, ""},
		"stream with a hole": {
			segment.Frame{Type: segment.Stream, Timeline: 2, Offset: 901}, 5, ""},
		"a timeline twice":         {segment.Frame{Type: segment.Timeline}, 0, `{"id":2}`},
		"a timeline that is none":  {segment.Frame{Type: segment.Timeline}, 0, `[]`},
		"a gap from elsewhere":     {segment.Frame{Type: segment.Gap}, 0, `{"timeline":2,"to":9}`},
		"a base that is none":      {segment.Frame{Type: segment.Base}, 0, `{`},
		"an incident that is none": {segment.Frame{Type: segment.Incident}, 0, ``},
		"a drop that is none":      {segment.Frame{Type: segment.BaseDrop}, 0, `7`},
	} {
		c, _ := history(t, time.Unix(1e9, 0), lostTail)
		before := asJSON(t, c)
		if err := c.apply(row.frame, row.size, []byte(row.payload)); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if after := asJSON(t, c); after != before {
			t.Errorf("%s: changed to %s", name, after)
		}
	}
}

// FuzzCatalog: no payload makes a catalog that the rest cannot walk.
func FuzzCatalog(f *testing.F) {
	f.Add(byte(segment.Timeline), byte(0), []byte(`{"id":3,"start":5,"parent":2,"fork":5}`))
	f.Add(byte(segment.Timeline), byte(1), []byte(`{"id":4,"parent":4}`))
	f.Add(byte(segment.Gap), byte(0), []byte(`{"timeline":2,"from":900,"to":950}`))
	f.Add(byte(segment.Base), byte(0), []byte(`{"timeline":1,"offset":-5,"size":1}`))
	f.Add(byte(segment.BaseDrop), byte(0), []byte(`{"file":"1@0"}`))
	f.Fuzz(func(t *testing.T, typ, flags byte, payload []byte) {
		c, segs := history(t, time.Unix(1e9, 0), lostTail)
		fr := segment.Frame{Type: segment.Type(typ), Flags: flags}
		_ = c.apply(fr, len(payload), payload)
		v := &View{folder: folder{catalog: c, segments: segs}}
		for _, tl := range c.timelines {
			c.lineage(tl.ID)
			_, _ = v.BaseFor(tl.ID, tl.End)
		}
		p := planner{catalog: c, segments: segs, now: time.Unix(1e9, 0), tight: true}
		p.plan()
		c.forget(segs)
	})
}
