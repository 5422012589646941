package tap

import (
	"testing"
	"time"
)

// A stream that is faster than half a buffer in each pause is read more and more often; a slow one
// as rarely as it is allowed to.
func TestPacing(t *testing.T) {
	t.Parallel()
	p := &pacing{most: 20 * time.Millisecond, now: 20 * time.Millisecond}
	const fast, slow = streamBuffer, 100
	for i, step := range []struct {
		bytes int
		want  time.Duration
	}{
		{slow, 20 * time.Millisecond}, {fast, 10 * time.Millisecond}, {fast, 5 * time.Millisecond},
		{fast, 2500 * time.Microsecond}, {fast, 1250 * time.Microsecond}, {fast, paceLeast},
		{fast, paceLeast}, {slow, 2 * paceLeast}, {slow, 4 * paceLeast}, {slow, 8 * paceLeast},
		{slow, 16 * paceLeast}, {slow, 20 * time.Millisecond},
	} {
		p.bytes = step.bytes
		if got := p.next(); got != step.want || p.bytes != 0 {
			t.Errorf("step %d: a pause of %v, want %v", i, got, step.want)
		}
	}
	if got := (&pacing{most: time.Microsecond, now: time.Microsecond, bytes: fast}).next(); got >
		time.Microsecond {
		t.Errorf("%v is longer than is allowed", got)
	}
}
