package admin

import (
	"strings"
	"testing"
	"time"
)

func TestShowUpstreamOfCandidates(t *testing.T) {
	u := &Upstream{Address: "10.0.0.6:6379", Up: true, Since: time.Hour, Server: "valkey", Version: "8.0.1", Role: "master",
		Candidates: &Candidates{Primary: "10.0.0.6:6379", Why: "it was promoted from the history of 10.0.0.5:6379",
			Against: []string{"10.0.0.5:6379 says that it is a primary, too: its history is an older one"},
			List: []Candidate{
				{Address: "10.0.0.5:6379", Heard: true, Says: "a primary", History: "aaaaaaaaaaaa", Offset: 7},
				{Address: "10.0.0.6:6379", Heard: true, Says: "a primary", History: "bbbbbbbbbbbb", Continues: "aaaaaaaaaaaa", Offset: 9},
			},
			Moves: []Move{{At: time.Unix(1_700_000_000, 0), From: "10.0.0.5:6379", To: "10.0.0.6:6379", Why: "promoted",
				Paused: time.Second, Held: 3}},
		}}
	const want = `
upstream    10.0.0.6:6379, valkey 8.0.1 master, up for 1h00m
candidates  10.0.0.6:6379: it was promoted from the history of 10.0.0.5:6379
trouble     10.0.0.5:6379 says that it is a primary, too: its history is an older one
CANDIDATE      HISTORY   CONTINUES  OFFSET  SAYS
10.0.0.5:6379  aaaaaaaa  -          7       a primary
10.0.0.6:6379  bbbbbbbb  aaaaaaaa   9       a primary
MOVED                 FROM           TO             PAUSED  HELD  FIRST SIGN
2023-11-14T22:13:20Z  10.0.0.5:6379  10.0.0.6:6379  1s      3     promoted
`
	if got := "\n" + strings.Join(upstreamLines(u), "\n") + "\n"; got != want {
		t.Errorf("got %s", got)
	}
	u.Candidates = &Candidates{Why: "no candidate says that it is a primary", Doubt: "why not"}
	got := strings.Join(upstreamLines(u), "\n")
	for _, line := range []string{"candidates  no primary is known: no candidate says", "doubt       why not", "no failover was followed"} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}
