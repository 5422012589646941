package main

import (
	"slices"
	"strings"
	"testing"

	"holdfast/configs"
	"holdfast/loadtest/harness"
)

func TestParseRate(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","min_latency_ms"` + "\n"
	tests := []struct {
		name, out string
		want      float64
		ok        bool
	}{
		{"plain", head + `"SET","51375.50","0.1","0.0"` + "\n", 51375.5, true},
		{"warning before", "WARNING: Could not fetch server CONFIG\n" + head +
			`"GET","7.00","0.1","0.0"` + "\n", 7, true},
		{"heading only", head, 0, false},
		{"nothing", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseRate(tt.out)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("parseRate = %v, %v; want %v, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestParse(t *testing.T) {
	if _, err := parse([]string{"--rules", "--before", "old"}); err == nil {
		t.Error("two runs at once are accepted")
	}
	if o, err := parse([]string{"--before", "old"}); err != nil || o.targets != "before,holdfast" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestMedian(t *testing.T) {
	k := key{"direct", cell{"SET", 1, 50}}
	b := newBench("", nil, nil, 1)
	for _, tt := range []struct {
		rates []float64
		want  float64
	}{
		{nil, 0}, {[]float64{5}, 5}, {[]float64{9, 1, 5}, 5}, {[]float64{1, 9, 5, 3}, 4},
	} {
		b.samples[k] = nil
		for _, r := range tt.rates {
			b.samples[k] = append(b.samples[k], sample{opsPerSecond: r})
		}
		if got := b.median(k, opsPerSecond); got != tt.want {
			t.Errorf("median of %v = %v, want %v", tt.rates, got, tt.want)
		}
	}
}

// A report of made-up figures: one cell that reaches its goals and one that does not.
func TestReport(t *testing.T) {
	good, bad := cell{"SET", 1, 50}, cell{"GET", 1, 1}
	proxy := &harness.Process{}
	targets := []*target{
		{name: "direct"}, {name: "twemproxy", proxy: proxy}, {name: "holdfast", proxy: proxy},
	}
	b := newBench("", targets, []cell{good, bad}, 1)
	for k, s := range map[key]sample{
		{"direct", good}: {1000, 0, 4}, {"twemproxy", good}: {800, 10, 2},
		{"holdfast", good}: {950, 7.5, 2}, {"direct", bad}: {1000, 0, 4},
		{"twemproxy", bad}: {800, 10, 2}, {"holdfast", bad}: {700, 8, 2},
	} {
		b.samples[k] = []sample{s}
	}
	text := b.report("Here.\n")
	for _, want := range []string{
		"| CPU per command at most 0.75 of twemproxy's | 1 | 1 of 2 | GET depth 1 × 1: 0.80 |",
		"| throughput at least 1.1 of twemproxy's | 1 | 1 of 2 | GET depth 1 × 1: 0.88 |",
		"| throughput at least 0.9 of direct | all | 1 of 2 | GET depth 1 × 1: 0.70 |",
		"| SET | 1 | 50 | holdfast | 950 | 0.95 | 1.19 | 7.50 | 0.75 | 2.00 |",
		"| GET | 1 | 1 | direct | 1000 | 1.00 | 1.25 |  |  | 4.00 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in:\n%s", want, text)
		}
	}
}

func TestReadme(t *testing.T) {
	b := newBench("", nil, nil, 1)
	c := readmeCells[2]
	for name, s := range map[string]sample{
		"direct": {1000, 0, 1}, "twemproxy": {500, 2.09, 1}, "haproxy": {525, 1, 1},
		"holdfast": {720, 0.852, 1},
	} {
		b.samples[key{name, c}] = []sample{s}
	}
	want := "| SET, 16 × 50 | 2.09 | 1.00 | 0.85 | 0.50 | 0.53 | 0.72 |\n"
	if text := b.readme(); !strings.Contains(text, want) {
		t.Errorf("no line %q in:\n%s", want, text)
	}
}

// The proxy takes the fifty rules, and they let the load pass.
func TestManyRules(t *testing.T) {
	c, err := configs.Parse("rules.yaml", []byte(manyRules()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rules) != 50 {
		t.Errorf("%d rules", len(c.Rules))
	}
}

func TestOrder(t *testing.T) {
	var targets []*target
	for _, name := range targetNames {
		targets = append(targets, &target{name: name})
	}
	b := newBench("", targets, nil, 1)
	first := map[*target]int{}
	for round := range 2 * len(targets) {
		all := b.order(round)
		first[all[0]]++
		for _, want := range targets {
			if !slices.Contains(all, want) || len(all) != len(targets) {
				t.Errorf("round %d: %v", round, all)
			}
		}
	}
	if len(first) < 3 {
		t.Errorf("rounds begin with %d targets", len(first))
	}
	b.targets = targets[:2]
	if b.order(0)[0] == b.order(1)[0] {
		t.Error("of two targets one is always the first")
	}
}

// The median over pairs is not that of the medians, and a missing run breaks no pair.
func TestRulesReport(t *testing.T) {
	c, d := cell{"SET", 1, 50}, cell{"GET", 16, 50}
	b := newBench("", nil, []cell{c, d}, 1)
	for k, cpu := range map[key][]float64{
		{"holdfast", c}: {10, 20, 10}, {withRules, c}: {10.2, 20.2, 10.1, 99},
		{"holdfast", d}: {1, 1}, {withRules, d}: {1.04, 1.06},
	} {
		for _, v := range cpu {
			b.samples[k] = append(b.samples[k], sample{proxyCPU: v})
		}
	}
	var w strings.Builder
	b.writePair(&w, rulesPair)
	for _, want := range []string{
		"| all | 1.020 | 1.010 to 1.040 | 5 | reached |", "| 1 | 1.010 | 1.010 to 1.020 | 3 | reached |",
		"| 16 | 1.050 | 1.040 to 1.060 | 2 | missed |",
	} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("no %q in:\n%s", want, w.String())
		}
	}
}

func TestMixSharesConnections(t *testing.T) {
	for _, tt := range []struct{ connections, want int }{{1, 1}, {50, 25}, {500, 250}} {
		names, n := cell{"mix", 1, tt.connections}.tests()
		if len(names) != 2 || n != tt.want {
			t.Errorf("%d connections: %v with %d each, want %d", tt.connections, names, n, tt.want)
		}
	}
}

func TestFindVersion(t *testing.T) {
	for text, want := range map[string]string{
		"Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc": "8.0.1",
		"This is nutcracker-0.5.0\n":                           "0.5.0",
		"HAProxy version 2.6.12-1+deb12u3 2025/10/03":          "2.6.12-1",
		"holdfast v0.1.0-3-g1234567 (go1.26.8 linux/amd64)":    "0.1.0-3-g1234567",
		"holdfast 32c78f5-dirty (go1.26.8 linux/amd64)":        "32c78f5-dirty",
		"holdfast (devel) (go1.26.8 linux/amd64)":              "(devel)",
		"nothing of the kind":                                  "unknown",
	} {
		if got := findVersion(text); got != want {
			t.Errorf("findVersion(%q) = %q, want %q", text, got, want)
		}
	}
}
