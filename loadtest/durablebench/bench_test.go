//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// drain returns all replies in text, which comes in pieces of n bytes.
func drain(text string, n int) (out []string) {
	var r replies
	for at := 0; at < len(text); at += n {
		data := []byte(text[at:min(at+n, len(text))])
		for len(data) > 0 {
			one, rest, ok := r.next(data)
			if data = rest; ok {
				out = append(out, string(one.kind)+string(one.text))
			}
		}
	}
	return out
}

func TestRepliesInPieces(t *testing.T) {
	const text = "+OK\r\n:12\r\n$-1\r\n$0\r\n\r\n$7\r\na\r\n+b-\r\r\n-ERR no\r\n+OK\r\n"
	want := []string{"+OK", ":12", "$-1", "$0", "$7", "-ERR no", "+OK"}
	for n := 1; n <= len(text); n++ {
		if got := drain(text, n); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("in pieces of %d: %q, want %q", n, got, want)
		}
	}
}

func TestWhatCountsAsAcknowledged(t *testing.T) {
	tests := []struct {
		name, text string
		work       work
		good, bad  int
	}{
		{"SETs", "+OK\r\n+OK\r\n", work{depth: 2}, 2, 0},
		{"one refused", "+OK\r\n-NODURABLE no\r\n", work{depth: 2}, 1, 1},
		{"GETs", "$-1\r\n$3\r\nabc\r\n", work{depth: 2}, 2, 0},
		{"before WAIT is answered", "+OK\r\n+OK\r\n", work{depth: 2, wait: waitBatch}, 0, 0},
		{"behind WAIT", "+OK\r\n+OK\r\n:1\r\n", work{depth: 2, wait: waitBatch}, 2, 0},
		{"no replica", "+OK\r\n+OK\r\n:0\r\n", work{depth: 2, wait: waitBatch}, 0, 2},
		{"WAIT fails", "+OK\r\n+OK\r\n-ERR\r\n", work{depth: 2, wait: waitBatch}, 0, 1},
		{"a WAIT behind each", "+OK\r\n:1\r\n+OK\r\n", work{depth: 2, wait: waitEach}, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &client{work: tt.work, waiting: tt.work.replies()}
			good, bad, _ := c.take([]byte(tt.text))
			if good != tt.good || bad != tt.bad {
				t.Errorf("good %d, bad %d; want %d, %d", good, bad, tt.good, tt.bad)
			}
		})
	}
}

func TestBatch(t *testing.T) {
	b := newBatch(work{command: "SET", prefix: "pay:", depth: 2, wait: waitBatch}, 1)
	first := string(b.next())
	set := "*3\r\n$3\r\nSET\r\n$10\r\npay:"
	if strings.Count(first, set) != 2 || !strings.HasSuffix(first, waitCommand) {
		t.Errorf("batch is %q", first)
	}
	if second := string(b.next()); len(second) != len(first) || second == first {
		t.Errorf("the next batch is %q", second)
	}
}

// result fills in what one contender reached in a cell or as a reader.
func (b *bench) result(disk, name, what string, rate float64, each time.Duration) {
	m := measured{good: int(rate), seconds: 1, times: &harness.Times{}}
	m.times.Add(each, m.good)
	b.record(key{disk, name, what}, m, 0, time.Second)
}

// A report of made-up figures: goals reached, missed and not measured.
func TestReport(t *testing.T) {
	b := &bench{series: map[key]*series{}, probes: map[string]string{"50ms": "NOT MEASURED: no"}}
	b.opts = options{designs: designs, ways: ways, disks: disks, cells: []cell{{1, 1}, {50, 1}}}
	for _, d := range disks[:2] {
		for i, who := range ways {
			for _, c := range b.opts.cells {
				b.result(d.name, who.name, c.String(), float64(1000+100*i),
					time.Duration(1+i)*time.Millisecond)
			}
		}
		for _, p := range pairs {
			rate := 100.0
			if p.prefix == durablePrefix && d.name == "5ms" {
				rate = 50
			}
			b.result(d.name, p.name, p.String(), rate, time.Millisecond)
		}
	}
	b.of(key{"own", "c", cell{1, 1}.String()}).bad = 7
	text := b.report("Here.\n")
	for _, want := range []string{
		"| (c) at least (a)'s throughput, 50 and 200 connections | own | met | 1 of 1 |  |",
		"| (c) at least (a)'s throughput, 50 and 200 connections | 50ms | not measured | 0 of 0 |  |",
		"| (c) p50 within 2 times (a)'s, 1 connection | own | MISSED | 0 of 1 | 1 × depth 1: 4.00",
		"50 and 200 connections | own | MISSED | 0 of 1 | 50 × depth 1: 1.36 |",
		"| (c) GETs beside durable writers at least 0.9 of beside plain ones | 5ms | MISSED | 0 of 1 | 0.50 |",
		"| (c) their p99 within 2 times | 5ms | met | 1 of 1 |  |",
		"| 1 | 50 | (c) proxy, journal | 1300 | 1.30 | 1.18 |",
		"NOT MEASURED: no.",
		"- own, (c), 1 × depth 1: 7 of 1307, such as",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestReadme(t *testing.T) {
	b := &bench{series: map[key]*series{}}
	b.opts = options{designs: designs, ways: ways, disks: disks[:2]}
	b.result("own", "c", readmeCell.String(), 51_158, time.Millisecond)
	b.result("own", "c", pair{"c", durablePrefix}.String(), 1234, time.Millisecond)
	b.result("own", "e", pair{"e", plainPrefix}.String(), 99, time.Millisecond)
	text := b.readme()
	for _, want := range []string{
		"| proxy, journal | 51,000, 1.0 ms | 1,200 |  |  | \n",
		"no proof |  | 99 |  |  | \n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestCells(t *testing.T) {
	for text, want := range map[string]string{
		"1x1,50x16": "[1 × depth 1 50 × depth 16]", "5": "", "0x1": "", "1x": "",
	} {
		got, err := cells(text)
		if (err == nil) != (want != "") || err == nil && fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
