package main

import (
	"strings"
	"testing"

	"holdfast/configs"
)

func guideOf(t *testing.T, text string) string {
	t.Helper()
	c, err := configs.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	s := &service{started: c}
	s.guide(&b)
	return b.String()
}

// The guide names each place once, and as unprotected only what the configuration leaves open.
func TestGuide(t *testing.T) {
	t.Parallel()
	const all = "rules: [{name: flush, commands: [flushall], action: trash}]\njournal: {dir: j}\n" +
		"routes: [{name: pay, keys: [\"pay:*\"], ack: {journal: true}}]\naudit: {file: a}\n" +
		"admin: {password: secret}\n"
	for _, tc := range []struct {
		text      string
		want, not []string
	}{
		{"", []string{"Holdfast serves redis://127.0.0.1:6380 in front of 127.0.0.1:6379.", "redis-cli -p 6390 SHOW",
			"page       http://127.0.0.1:9390/\n", "proxy help recovery\n", "http://127.0.0.1:9390/metrics", "- deletes are final", "- overwritten or lost data", "- OK means",
			"- no record says later", "- every program that reaches the console"},
			[]string{"in the clear", "every command passes", "observe"}},
		{all, []string{"- clients that connect to 127.0.0.1:6379 directly"}, []string{"deletes", "overwritten", "OK means",
			"no record says", "operator"}},
		{"rules: []\n", []string{"- every command passes"}, []string{"deletes are final"}},
		{"enforcement: observe\n", []string{"- rules only count"}, nil},
		{"listeners: [{address: \":7000\"}, {address: \"unix:/run/h.sock\"}]\n",
			[]string{"redis://127.0.0.1:7000, unix:///run/h.sock", "- clients of :7000 send in the clear"}, nil},
		{"admin: {address: off, http: off}\n", nil, []string{"console", "metrics", "page  "}},
		{"admin: {http: \"unix:/run/h.sock\"}\n", []string{"curl --unix-socket /run/h.sock http://holdfast/metrics"},
			[]string{"page  "}},
		{"admin: {address: \"unix:/run/c.sock\"}\n", []string{"redis-cli -s /run/c.sock SHOW"}, nil},
		{"admin: {address: \"10.0.0.1:6390\", password: secret}\n", []string{"redis-cli -h 10.0.0.1 -p 6390 SHOW"}, nil},
	} {
		got := guideOf(t, tc.text)
		for _, want := range tc.want {
			if strings.Count(got, want) != 1 {
				t.Errorf("%q: %q is not there once:\n%s", tc.text, want, got)
			}
		}
		for _, not := range tc.not {
			if strings.Contains(got, not) {
				t.Errorf("%q: %q is there:\n%s", tc.text, not, got)
			}
		}
	}
	if got := guideOf(t, "log: {format: json}\n"); got != "" {
		t.Errorf("beside a log in JSON: %s", got)
	}
}

func TestStatusLine(t *testing.T) {
	t.Parallel()
	for want, in := range map[string][2][]string{
		"ready":                        {},
		"not ready: upstream; paused":  {{"upstream", "paused"}, {"trash: full"}},
		"ready, degraded: trash: full": {nil, {"trash: full"}},
	} {
		if got := statusOf(in[0], in[1]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
