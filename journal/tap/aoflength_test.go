package tap

import (
	"testing"
	"time"

	"holdfast/journal"
)

// The seconds that begin behind a look are counted, and never one too few.
func TestSecondsSince(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_000, 0)
	for _, row := range []struct {
		within, later time.Duration
		plain         bool
		want          int64
	}{
		{within: 0, later: 100 * time.Millisecond, want: 0},
		{within: 500 * time.Millisecond, later: 200 * time.Millisecond, want: 0},
		{within: 500 * time.Millisecond, later: 400 * time.Millisecond, want: 1}, // the clock may be behind
		{within: 500 * time.Millisecond, later: 600 * time.Millisecond, want: 1},
		{within: 900 * time.Millisecond, later: 2 * time.Second, want: 3},
		{within: 900 * time.Millisecond, later: 2 * time.Second, plain: true, want: 0},
		{within: 900 * time.Millisecond, later: -time.Second, want: 0},
	} {
		c := &journal.Counts{Stamped: !row.plain, Time: at,
			Clock: (77*time.Second + row.within).Microseconds()}
		if got := secondsSince(c, at.Add(row.later)); got != row.want {
			t.Errorf("%+v: %d", row, got)
		}
	}
}
