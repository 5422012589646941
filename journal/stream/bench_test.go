package stream

import (
	"strings"
	"testing"
	"time"
)

// BenchmarkScanner is a stream of SETs, as the journal gives it: in pieces of a socket's reads.
func BenchmarkScanner(b *testing.B) {
	one := "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$100\r\n" + strings.Repeat("x", 100) + "\r\n"
	all := []byte(strings.Repeat(one, 20_000))
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		s := NewScanner(Options{MaxArg: 32})
		for at := 0; at < len(all); at += 64 << 10 {
			if err := s.Feed(time.Time{}, all[at:min(at+64<<10, len(all))], nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}
