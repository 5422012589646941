package proxy

import "testing"

func TestWindowFollowsTheWeightOfReplies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bytes, replies uint64
		want           int
	}{
		{0, 0, windowMax},
		{5 * 64, 64, windowMax}, // +OK
		{64 << 10, 64, windowBytes / (1<<10 + 1)},
		{64 << 20, 64, windowMin},
		{512 << 20, 1, windowMin},
	} {
		w := window{bytes: c.bytes, replies: c.replies}
		if got := w.size(); got != windowStart {
			t.Errorf("before the first reply: %d, want %d", got, windowStart)
		}
		if w.adjust(); w.size() != c.want {
			t.Errorf("%d replies of %d bytes: %d, want %d", c.replies, c.bytes, w.size(), c.want)
		}
	}
}
