package page

import (
	"math"
	"strings"
	"testing"

	"holdfast/proxy/trend"
)

// A chart describes its bars in words, and the place of the highest one.
func TestChart(t *testing.T) {
	var one trend.Trend
	one.Minutes[trend.Minutes-1], one.Minutes[trend.Minutes-4] = 2, 1000
	one.Hours[trend.Hours-1], one.Hours[0] = 1002, 1
	c := chartOf("hit", one.Minutes[:], one.Hours[:])
	if c.Words != "1,002 in the last hour, 1,003 in the last day" {
		t.Errorf("%q", c.Words)
	}
	for i, want := range []bars{
		{"Last hour: 1,002 hits, at most 1,000 in one minute, 3 minutes ago", "M112 24v-24h1v24zM118 24v-2h1v2z"},
		{"Last day: 1,003 hits, at most 1,002 in one hour, in this hour", "M0 24v-2h4v2zM115 24v-24h4v24z"},
	} {
		if c.Bars[i] != want {
			t.Errorf("got %+v, want %+v", c.Bars[i], want)
		}
	}
	if c := chartOf("key", make([]uint64, 60), make([]uint64, 24)); c.Bars[0] != (bars{"Last hour: no keys", ""}) {
		t.Errorf("without any: %+v", c)
	}
	c = chartOf("key", []uint64{math.MaxInt64, 0}, []uint64{1})
	if c.Bars[0].Path != "M0 24v-24h59v24z" || c.Bars[1].Label != "Last day: 1 key, at most 1 in one hour, in this hour" {
		t.Errorf("%+v", c)
	}
}

// The page has the charts of every rule and budget, with a text for readers who do not see them, and is whole without.
func TestCharts(t *testing.T) {
	t.Parallel()
	s := open(t, &fakeProxy{name: "ann"})
	body := s.do("/", nil).Body.String()
	for _, want := range []string{
		`role="img" aria-label="Last hour: 4 hits, at most 3 in one minute, 1 minute ago"`,
		`role="img" aria-label="Last day: 9 keys, at most 9 in one hour, in this hour"`,
		"4 in the last hour, 7 in the last day", `<path d="M116 24v-24h1v24z`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in:\n%s", want, body)
		}
	}
	if n := strings.Count(body, "<svg class=\"chart\""); n != 4 {
		t.Errorf("%d charts", n)
	}
	s = open(t, &fakeProxy{name: "ann", noTrends: true})
	if body := s.do("/", nil).Body.String(); strings.Contains(body, "<svg class=\"chart\"") || !strings.Contains(body, "<strong>flush</strong>") {
		t.Errorf("without histories:\n%s", body)
	}
}
