package segment

import "testing"

// The last byte that is not zero is found wherever it is, also at the edges of blocks.
func TestLookFindsTheLastByte(t *testing.T) {
	b := make([]byte, 3*len(zeroBlock)+5)
	for at := range b {
		s := scan{Reader: &Reader{}}
		b[at] = 1
		s.look(b, 64)
		b[at] = 0
		if want := int64(64 + min(at/align*align+align, len(b))); s.result.TornEnd != want {
			t.Fatalf("a byte at %d: the end is %d, want %d", at, s.result.TornEnd, want)
		}
	}
	s := scan{Reader: &Reader{}}
	if s.look(b, 64); s.result.TornEnd != 0 {
		t.Errorf("no byte at all: the end is %d", s.result.TornEnd)
	}
}
