package resp

import (
	"testing"
)

func BenchmarkCommandScan(b *testing.B) {
	set := []byte("*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$3\r\nxxx\r\n")
	var s CommandScanner
	var sc Scratch
	lim := &Limits{}
	b.SetBytes(int64(len(set)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok, _ := s.Scan(set, lim, &sc); !ok {
			b.Fatal("no frame")
		}
	}
}

func BenchmarkReplyScan(b *testing.B) {
	for _, reply := range []string{"+OK\r\n", ":12345\r\n", "$3\r\nxxx\r\n", "$-1\r\n",
		"*3\r\n$3\r\nfoo\r\n$3\r\nbar\r\n:1\r\n"} {
		b.Run(reply[:len(reply)-2], func(b *testing.B) {
			var s ReplyScanner
			p := []byte(reply)
			b.ReportAllocs()
			for b.Loop() {
				if _, done, _ := s.Scan(p); !done {
					b.Fatal("no reply")
				}
			}
		})
	}
}
