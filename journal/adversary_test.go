package journal

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// adversaries are streams, in pieces as a socket gives them, that cost a reader of commands the most.
// begin comes once.
var adversaries = []struct {
	name  string
	begin []byte
	piece []byte
}{
	{"sets", nil, bytes.Repeat(command("SET", "key:000000012345", strings.Repeat("x", 100)), 1900)},
	{"large values", nil, bytes.Repeat(command("SET", "key:000000012345", strings.Repeat("x", 64<<10)), 4)},
	{"small commands", nil, bytes.Repeat(command("INCR", "k"), 12_000)},
	{"an endless transaction", command("MULTI"), bytes.Repeat(command("INCR", "k"), 12_000)},
	{"many databases", nil, alternating(1000, 5500)},
	{"deletes", nil, bytes.Repeat(command("DEL", "k"), 13_000)},
	{"deletes of many keys", nil, bytes.Repeat(command("DEL", strings.Split(strings.Repeat("k ", 4000)+"k", " ")...), 8)},
	{"flushes", nil, bytes.Repeat(command("FLUSHALL"), 14_000)},
	{"unknown commands", nil, bytes.Repeat(command("MODULE.COMMAND", "a", "b"), 5000)},
}

func command(name string, args ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n$%d\r\n%s\r\n", len(args)+1, len(name), name)
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// alternating writes to another database with each command.
func alternating(databases, n int) (b []byte) {
	for i := range n {
		b = append(b, command("SELECT", fmt.Sprint(i%databases))...)
		b = append(b, command("INCR", "k")...)
	}
	return b
}

// BenchmarkAdversaries is the CPU time of the whole process for each byte that is made durable, the
// search for events with it.
func BenchmarkAdversaries(b *testing.B) {
	for _, a := range adversaries {
		b.Run(strings.ReplaceAll(a.name, " ", "-"), func(b *testing.B) {
			j, tl := benchJournal(b)
			at := int64(0)
			give := func(p []byte) {
				if err := j.Append(context.Background(), tl, at, p); err != nil {
					b.Fatal(err)
				}
				at += int64(len(p))
			}
			give(command("SELECT", "0"))
			give(a.begin)
			before := cpuTime()
			for b.Loop() {
				give(a.piece)
			}
			if err := j.WaitDurable(context.Background(), Position{tl, at}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(a.piece)))
			b.ReportMetric(float64(cpuTime()-before)/float64(at), "cpu-ns/B")
		})
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
