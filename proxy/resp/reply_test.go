package resp

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// replyStreams are streams of replies with the type and the length of each.
var replyStreams = []struct{ stream, want string }{
	{"+OK\r\n", "+5 "},
	{"+\r\n", "+3 "},
	{"-ERR unknown command 'x'\r\n+OK\r\n", "-26 +5 "},
	{":0\r\n:-12\r\n", ":4 :6 "},
	{"+a\rb\nc\n\r\n", "+9 "},
	{"+a\r\r\n", "+5 "},
	{"$0\r\n\r\n", "$6 "},
	{"$3\r\n\r\n+\r\n", "$9 "},
	{"$12\r\nhello\r\nworld\r\n", "$19 "},
	{"$100\r\n" + strings.Repeat("x", 100) + "\r\n", "$108 "},
	{"$-1\r\n*-1\r\n_\r\n", "$5 *5 _3 "},
	{"*0\r\n", "*4 "},
	{"*2\r\n$1\r\na\r\n:1\r\n+OK\r\n", "*15 +5 "},
	{"*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n$-1\r\n", "*25 "},
	{"%1\r\n+k\r\n*1\r\n:1\r\n", "%16 "},
	{"%0\r\n~0\r\n>0\r\n", "%4 ~4 >4 "},
	{"~2\r\n#t\r\n#f\r\n", "~12 "},
	{">3\r\n+message\r\n+a\r\n$1\r\nb\r\n+OK\r\n", ">25 +5 "},
	{",3.14\r\n,inf\r\n,-inf\r\n,nan\r\n", ",7 ,6 ,7 ,6 "},
	{"(3492890328409238509324850943850943825024385\r\n", "(46 "},
	{"!21\r\nSYNTAX invalid syntax\r\n", "!28 "},
	{"=15\r\ntxt:Some string\r\n", "=22 "},
	{"|1\r\n+ttl\r\n:3600\r\n+OK\r\n+PONG\r\n", "+22 +7 "},
	{"|0\r\n$1\r\na\r\n", "$11 "},
	{"|1\r\n+a\r\n|1\r\n+b\r\n:1\r\n:2\r\n*1\r\n:3\r\n", "*32 "},
	{"|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n$-1\r\n", "$29 "},
	{"*2\r\n|1\r\n+a\r\n:1\r\n:2\r\n:3\r\n", "*24 "},
	{"*1\r\n%1\r\n~1\r\n+a\r\n>1\r\n$1\r\nx\r\n", "*27 "},
	{strings.Repeat("*1\r\n", 5000) + ":1\r\n", "*20004 "},

	{"+OK", "half"},
	{"+OK\r", "half"},
	{"*2\r\n:1\r\n", "half"},
	{"*1000000000000000000\r\n:1\r\n", "half"},
	{"$1000000000000000000\r\nabc", "half"},

	{"x", "malformed"},
	{"\r\n", "malformed"},
	{".\r\n", "malformed"},
	{";4\r\n", "malformed"},
	{"+OK\r\nOK\r\n", "+5 malformed"},
	{"$?\r\n;4\r\n", "malformed"},
	{"*?\r\n.\r\n", "malformed"},
	{"$\r\n", "malformed"},
	{"$-\r\n", "malformed"},
	{"$-2\r\n", "malformed"},
	{"$-0\r\n", "malformed"},
	{"$-11\r\n", "malformed"},
	{"$--1\r\n", "malformed"},
	{"$+1\r\n", "malformed"},
	{"$01\r\na\r\n", "malformed"},
	{"$00\r\n\r\n", "malformed"},
	{"$1 \r\n", "malformed"},
	{"$1\n", "malformed"},
	{"$1\rx", "malformed"},
	{"$1\r\nabc", "malformed"},
	{"$1\r\na\rb", "malformed"},
	{"=-1\r\n", "malformed"},
	{"%-1\r\n", "malformed"},
	{"*1\r\nx", "malformed"},
	{"$1000000000000000001\r\n", "malformed"},
	{"*9223372036854775807\r\n", "malformed"},
	{"*9999999999999999999\r\n", "malformed"},
	{"*99999999999999999999\r\n", "malformed"},
}

// scanReplies feeds the pieces to one scanner as a link does.
func scanReplies(t testing.TB, pieces ...[]byte) (list string) {
	t.Helper()
	var s ReplyScanner
	size := 0
	for _, p := range pieces {
		for len(p) > 0 {
			n, done, err := s.Scan(p)
			if err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("got the error %v, want ErrMalformed", err)
				}
				return list + "malformed"
			}
			if !done && n != len(p) {
				t.Fatalf("%d of %d bytes were consumed", n, len(p))
			}
			size += n
			if done {
				list += fmt.Sprintf("%c%d ", s.Type(), size)
				size = 0
			}
			if s.Started() == done {
				t.Fatalf("Started is %v, done %v", s.Started(), done)
			}
			p = p[n:]
		}
	}
	if s.Started() {
		list += "half"
	}
	return list
}

func TestReplyScannerAtEverySplit(t *testing.T) {
	for _, tt := range replyStreams {
		t.Run(fmt.Sprintf("%.20q", tt.stream), func(t *testing.T) {
			p := []byte(tt.stream)
			check := func(how string, pieces ...[]byte) {
				t.Helper()
				if got := scanReplies(t, pieces...); got != tt.want {
					t.Fatalf("%s: got %s, want %s", how, got, tt.want)
				}
			}
			check("whole", p)
			check("byte by byte", bytewise(p)...)
			for i := range min(len(p), 200) {
				check(fmt.Sprintf("split at %d", i), p[:i], p[i:])
				if len(p) > 60 {
					continue
				}
				for j := i; j < len(p); j++ {
					check(fmt.Sprintf("split at %d and %d", i, j), p[:i], p[i:j], p[j:])
				}
			}
		})
	}
}

func TestReplyScannerType(t *testing.T) {
	var s ReplyScanner
	step := func(p string, want byte) {
		t.Helper()
		if _, _, err := s.Scan([]byte(p)); err != nil {
			t.Fatal(err)
		}
		if got := s.Type(); got != want {
			t.Errorf("after %q: got %q, want %q", p, got, want)
		}
	}
	step("", 0)
	step("|1\r\n+a", 0)
	step("\r\n*1\r\n:1\r\n", 0)
	step(">", '>')
	step("1\r\n+x\r\n", '>')
	step("", '>')
	step("|", 0)
	s.Reset()
	step("+", '+')
	s.Reset()
	if s.Type() != 0 || s.Started() {
		t.Errorf("after Reset: type %q, started %v", s.Type(), s.Started())
	}
}

func TestReplyScannerCountsDoNotOverflow(t *testing.T) {
	var s ReplyScanner
	head := fmt.Sprintf("%%%d\r\n", int64(maxLength))
	for range 100 {
		if _, _, err := s.Scan([]byte(head)); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if s.pending <= 0 || s.pending > math.MaxInt64/2 {
			t.Fatalf("%d elements are pending", s.pending)
		}
	}
	t.Fatal("no error")
}

func TestReplyScannerAllocatesNothing(t *testing.T) {
	for _, tt := range replyStreams {
		if strings.HasSuffix(tt.want, "malformed") {
			continue
		}
		var s ReplyScanner
		p := []byte(tt.stream)
		if got := testing.AllocsPerRun(10, func() {
			s.Reset()
			for rest := p; len(rest) > 0; {
				n, _, _ := s.Scan(rest)
				rest = rest[n:]
			}
		}); got != 0 {
			t.Errorf("%.20q: %v allocations", tt.stream, got)
		}
	}
}

func BenchmarkReplyScan(b *testing.B) {
	for _, reply := range []string{"+OK\r\n", ":12345\r\n", "$3\r\nxxx\r\n", "$-1\r\n",
		"*3\r\n$3\r\nfoo\r\n$3\r\nbar\r\n:1\r\n", "*1000\r\n" + strings.Repeat("$3\r\nfoo\r\n", 1000)} {
		b.Run(fmt.Sprintf("%.8q", reply), func(b *testing.B) {
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
