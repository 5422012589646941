package resp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// reading is what a stream of commands comes to: one line per command, then the refusal.
type reading struct {
	commands []string // the arguments, quoted, and a mark when the frame needs re-encoding
	refusal  string
	rest     int // bytes of the half-read frame
}

func (r reading) String() string {
	return fmt.Sprintf("%s refusal=%q rest=%d", strings.Join(r.commands, " | "), r.refusal, r.rest)
}

func describe(cmd Command) string {
	words := make([]string, len(cmd.Args))
	for i, arg := range cmd.Args {
		words[i] = strconv.Quote(string(arg))
	}
	if cmd.Inline {
		words = append(words, "(re-encode)")
	}
	return strings.Join(words, " ")
}

// scanPieces feeds the pieces to one scanner as a session does, and moves the buffer each time.
func scanPieces(t testing.TB, lim *Limits, pieces ...[]byte) (r reading) {
	t.Helper()
	var s CommandScanner
	var scratch Scratch
	var buf []byte
	for _, piece := range pieces {
		buf = append(bytes.Clone(buf), piece...)
		for len(buf) > 0 {
			cmd, n, err := s.Scan(buf, lim, &scratch)
			if err != nil {
				var perr *ProtocolError
				if !errors.As(err, &perr) {
					t.Fatalf("the error is %T, want *ProtocolError", err)
				}
				r.refusal = perr.Error()
				return r
			}
			if cmd != nil {
				checkCommand(t, *cmd, buf[:n])
				r.commands = append(r.commands, describe(*cmd))
			}
			buf = buf[n:]
			if cmd == nil {
				break
			}
		}
	}
	r.rest = len(buf)
	if s.Idle() != (len(buf) == 0) {
		t.Fatalf("Idle is %v with %d bytes left", s.Idle(), len(buf))
	}
	return r
}

// checkCommand checks what holds for every command: Raw ends the consumed bytes, and unless the
// frame needs re-encoding, Raw is what re-encoding would give, to the byte.
func checkCommand(t testing.TB, cmd Command, consumed []byte) {
	t.Helper()
	if len(cmd.Args) == 0 {
		t.Fatal("a command without arguments")
	}
	if len(cmd.Raw) > len(consumed) || !bytes.HasSuffix(consumed, cmd.Raw) {
		t.Fatalf("Raw %q is not the end of the consumed %q", cmd.Raw, consumed)
	}
	if again := AppendCommand(nil, cmd.Args...); !cmd.Inline && !bytes.Equal(again, cmd.Raw) {
		t.Fatalf("Raw %q is forwarded but is not strict, want %q", cmd.Raw, again)
	}
}

// commandStreams are streams with what Redis 8.0.2 makes of them.
var commandStreams = []struct {
	name, stream string
	want         string // commands, then ! and the refusal without "Protocol error: "
	rest         int
}{
	{"one", "*1\r\n$4\r\nPING\r\n", `"PING"`, 0},
	{"two", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n", `"GET" "k" | "PING"`, 0},
	{"binary", "*2\r\n$4\r\nECHO\r\n$6\r\n\x00\r\n*\xff$\r\n", `"ECHO" "\x00\r\n*\xff$"`, 0},
	{"empty argument", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", `"ECHO" ""`, 0},
	{"empty name", "*1\r\n$0\r\n\r\n", `""`, 0},
	{"two digits", "*11\r\n" + strings.Repeat("$10\r\n0123456789\r\n", 11),
		strings.Repeat(` "0123456789"`, 11)[1:], 0},
	{"three digits", "*1\r\n$100\r\n" + strings.Repeat("x", 100) + "\r\n",
		`"` + strings.Repeat("x", 100) + `"`, 0},
	{"half", "*2\r\n$3\r\nGET\r\n$3\r\nab", ``, 19},
	{"half after ignored", "*0\r\n*2\r\n$3\r\nGET\r\n$3\r\nab", ``, 19},

	{"zero arguments", "*0\r\n*1\r\n$4\r\nPING\r\n", `"PING"`, 0},
	{"negative arguments", "*-1\r\n*-9223372036854775808\r\n*1\r\n$4\r\nPING\r\n", `"PING"`, 0},
	{"only ignored", "*0\r\n\r\n*-7\r\n \t\v\f\r\n\n", ``, 0},
	{"blank lines", "\r\n\n\r\nPING\r\n\r\n", `"PING" (re-encode)`, 0},

	{"inline", "GET k\r\n", `"GET" "k" (re-encode)`, 0},
	{"inline bare LF", "GET k\n", `"GET" "k" (re-encode)`, 0},
	{"inline two CR", "GET k\r\r\n", `"GET" "k" (re-encode)`, 0},
	{"inline CR within", "GET\rk\r\n", `"GET" "k" (re-encode)`, 0},
	{"inline quotes", "SET \"a b\\x41\\n\" 'it\\'s'\r\n",
		`"SET" "a bA\n" "it's" (re-encode)`, 0},
	{"inline unbalanced", "SET \"a\r\n", `!unbalanced quotes in request`, 0},
	{"inline quote glued", "SET \"a\"b\r\n", `!unbalanced quotes in request`, 0},
	{"inline dollar", "$4\r\n", `"$4" (re-encode)`, 0},
	{"inline then multibulk", "PING\r\n*1\r\n$4\r\nPING\r\n", `"PING" (re-encode) | "PING"`, 0},
	{"inline NUL", "GET a\x00b\r\n", ``, 9},

	{"count lacks LF", "*1\rx$4\r\nPING\r\n", `"PING" (re-encode)`, 0},
	{"size lacks LF", "*1\r\n$4\rxPING\r\n", `"PING" (re-encode)`, 0},
	{"bulk ends oddly", "*1\r\n$4\r\nPINGxy*1\r\n$4\r\nPING\r\n",
		`"PING" (re-encode) | "PING"`, 0},
	{"bulk ends with LF LF", "*1\r\n$4\r\nPING\n\n", `"PING" (re-encode)`, 0},
	{"LF after count is a star", "*0\r**1\r\n$4\r\nPING\r\n", `"PING"`, 0},

	{"count empty", "*\r\n", `!invalid multibulk length`, 0},
	{"count word", "*abc\r\n", `!invalid multibulk length`, 0},
	{"count plus", "*+1\r\n", `!invalid multibulk length`, 0},
	{"count leading zero", "*01\r\n", `!invalid multibulk length`, 0},
	{"count minus zero", "*-0\r\n", `!invalid multibulk length`, 0},
	{"count blank", "* 1\r\n", `!invalid multibulk length`, 0},
	{"count LF only", "*1\n$4\r\nPING\r\n", `!invalid multibulk length`, 0},
	{"count huge", "*3000000000\r\n", `!invalid multibulk length`, 0},
	{"count over the limit", "*2147483648\r\n", `!invalid multibulk length`, 0},
	{"count at the limit", "*2147483647\r\n", ``, 13},
	{"count beyond int64", "*99999999999999999999\r\n", `!invalid multibulk length`, 0},
	{"count NUL", "*\x001\r\n", ``, 5},

	{"size word", "*1\r\n$abc\r\n", `!invalid bulk length`, 0},
	{"size empty", "*1\r\n$\r\n", `!invalid bulk length`, 0},
	{"size negative", "*1\r\n$-1\r\n", `!invalid bulk length`, 0},
	{"size leading zero", "*1\r\n$04\r\nPING\r\n", `!invalid bulk length`, 0},
	{"size over the limit", "*1\r\n$536870913\r\n", `!invalid bulk length`, 0},
	{"size at the limit", "*1\r\n$536870912\r\n", ``, 16},
	{"size that overflows a position", "*1\r\n$9223372036854775807\r\nab\r\n",
		`!invalid bulk length`, 0},
	{"size NUL", "*1\r\n$\x00\r\n", ``, 8},
	{"no dollar", "*1\r\nfoo\r\n", `!expected '$', got 'f'`, 0},
	{"no dollar, half line", "*1\r\nfoo", ``, 7},
	{"no dollar, second", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", `!expected '$', got 'f'`, 0},
	{"no dollar but CR", "*1\r\n\r\n", `!expected '$', got ' '`, 0},
	{"no dollar but LF", "*1\r\n\n\r\n", `!expected '$', got ' '`, 0},
	{"no dollar but high", "*1\r\n\xff\r\n", "!expected '$', got '\xff'", 0},
	{"a command then garbage", "*1\r\n$4\r\nPING\r\n*x\r\n", `"PING"!invalid multibulk length`, 0},
}

func wantReading(want string, rest int) (r reading) {
	list, refusal, refused := strings.Cut(want, "!")
	if list != "" {
		r.commands = strings.Split(list, " | ")
	}
	if refused {
		r.refusal = "Protocol error: " + refusal
	}
	r.rest = rest
	return r
}

func TestCommandScannerAtEverySplit(t *testing.T) {
	for _, tt := range commandStreams {
		t.Run(tt.name, func(t *testing.T) {
			want := wantReading(tt.want, tt.rest).String()
			check := func(how string, got reading) {
				t.Helper()
				if got.String() != want {
					t.Fatalf("%s:\n got %v\nwant %v", how, got, want)
				}
			}
			p := []byte(tt.stream)
			check("whole", scanPieces(t, nil, p))
			for i := range p {
				check(fmt.Sprintf("split at %d", i), scanPieces(t, nil, p[:i], p[i:]))
				if len(p) > 60 {
					continue
				}
				for j := i; j < len(p); j++ {
					how := fmt.Sprintf("split at %d and %d", i, j)
					check(how, scanPieces(t, nil, p[:i], p[i:j], p[j:]))
				}
			}
			check("byte by byte", scanPieces(t, nil, bytewise(p)...))
		})
	}
}

func bytewise(p []byte) (pieces [][]byte) {
	for i := range p {
		pieces = append(pieces, p[i:i+1])
	}
	return pieces
}

func TestCommandScannerLimits(t *testing.T) {
	unauth := &Limits{Unauthenticated: true}
	small := &Limits{MaxArgs: 2, MaxBulk: 3, MaxInline: 8}
	strict := &Limits{Dialect: StrictCRLF}
	nul := &Limits{Dialect: NULInLines}
	long := strings.Repeat("1", defaultMaxInline)
	auth := "*11\r\n" + strings.Repeat("$1\r\nx\r\n", 11)
	for _, tt := range []struct {
		name   string
		lim    *Limits
		stream string
		want   string
		rest   int
	}{
		{"unauthenticated, 11 arguments", unauth, auth, `!unauthenticated multibulk length`, 0},
		{"unauthenticated, 10 arguments", unauth, "*10\r\n", ``, 5},
		{"unauthenticated, no number", unauth, "*11x\r\n", `!invalid multibulk length`, 0},
		{"unauthenticated, size", unauth, "*1\r\n$16385\r\n", `!unauthenticated bulk length`, 0},
		{"unauthenticated, size at the limit", unauth, "*1\r\n$16384\r\n", ``, 12},
		{"unauthenticated, size too big", unauth, "*1\r\n$999999999\r\n", `!invalid bulk length`, 0},

		{"small, arguments", small, "*3\r\n", `!invalid multibulk length`, 0},
		{"small, size", small, "*1\r\n$4\r\n", `!invalid bulk length`, 0},
		{"small, inline", small, "123456789\r\n", `!too big inline request`, 0},
		{"small, inline fits", small, "1234567\r\n", `"1234567" (re-encode)`, 0},
		{"small, inline fits with LF", small, "12345678\n", `"12345678" (re-encode)`, 0},
		{"small, blank lines do not add up", small, "\n\n\n\n\n\n\n12345678\n",
			`"12345678" (re-encode)`, 0},

		{"strict, count lacks LF", strict, "*1\rx$4\r\nPING\r\n", `!invalid CRLF in request`, 0},
		{"strict, no count, lacks LF", strict, "*x\rx", `!invalid CRLF in request`, 0},
		{"strict, zero arguments", strict, "*0\r*PING\r\n", `!invalid CRLF in request`, 0},
		{"strict, size lacks LF", strict, "*1\r\n$4\rxPING\r\n", `!invalid CRLF in request`, 0},
		{"strict, no dollar comes first", strict, "*1\r\nx\rx", `!expected '$', got 'x'`, 0},
		{"strict, bulk lacks CR", strict, "*1\r\n$4\r\nPINGx\n", `!invalid CRLF in request`, 0},
		{"strict, bulk lacks LF", strict, "*1\r\n$4\r\nPING\rx", `!invalid CRLF in request`, 0},
		{"NUL in a count is no number", nul, "*\x001\r\n", `!invalid multibulk length`, 0},
		{"NUL in a size is no number", nul, "*1\r\n$\x00\r\n", `!invalid bulk length`, 0},
		{"NUL in an inline stays", nul, "a\x00\r\n", ``, 4},

		{"inline at the limit", nil, long, ``, len(long)},
		{"inline over the limit", nil, long + "1", `!too big inline request`, 0},
		{"inline over the limit, ended", nil, long + "1\r\n", `!too big inline request`, 0},
		{"count over the limit", nil, "*" + long, `!too big mbulk count string`, 0},
		{"count at the limit", nil, "*" + long[1:] + "\r\n", `!invalid multibulk length`, 0},
		{"size over the limit", nil, "*1\r\n$" + long, `!too big bulk count string`, 0},
		{"size at the limit", nil, "*1\r\n$" + long[1:] + "\r\n", `!invalid bulk length`, 0},
		{"too long and no dollar", nil, "*1\r\n" + long + "1", `!too big bulk count string`, 0},
		{"NUL in an inline", nil, "\x00\r\n" + long, `!too big inline request`, 0},
		{"NUL in a count", nil, "*\x00\r\n" + long, `!too big mbulk count string`, 0},
		{"NUL in a size", nil, "*1\r\n$\x00\r\n" + long, `!too big bulk count string`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := wantReading(tt.want, tt.rest).String()
			p := []byte(tt.stream)
			for _, i := range []int{0, 1, 5, len(p) / 2, len(p) - 1} {
				if i > len(p) {
					continue
				}
				if got := scanPieces(t, tt.lim, p[:i], p[i:]).String(); got != want {
					t.Fatalf("split at %d:\n got %v\nwant %v", i, got, want)
				}
			}
		})
	}
}

func TestCommandScannerManyArguments(t *testing.T) {
	args := make([][]byte, 2<<20)
	for i := range args {
		args[i] = []byte("x")
	}
	frame := AppendCommand(nil, args...)
	var s CommandScanner
	var scratch Scratch
	for end := 0; end < len(frame); end += 64 << 10 {
		if cmd, n, err := s.Scan(frame[:end], nil, &scratch); n != 0 || cmd != nil || err != nil {
			t.Fatalf("after %d bytes: n %d, command %v, error %v", end, n, cmd, err)
		}
		if held, most := s.Held(), heldPerArg*end/len("$1\r\nx\r\n"); held > most {
			t.Fatalf("%d bytes hold %d more, want %d at the most", end, held, most)
		}
	}
	cmd, n, err := s.Scan(frame, nil, &scratch)
	if n != len(frame) || cmd == nil || err != nil || len(cmd.Args) != len(args) || cmd.Inline {
		t.Fatalf("n %d of %d, error %v, %+v", n, len(frame), err, cmd)
	}
	s.Scan([]byte("PING\r\n"), nil, &scratch)
	if got := cap(scratch.words.args); got > maxKeptArgs {
		t.Errorf("the scratch keeps room for %d arguments", got)
	}
}

func TestCommandScannerNeed(t *testing.T) {
	var s CommandScanner
	var scratch Scratch
	for _, tt := range []struct {
		stream string
		need   int
	}{
		{"", 0}, {"*2\r\n", 0}, {"*2\r\n$100\r", 0}, {"*2\r\n$100\r\n", 102},
		{"*2\r\n$100\r\nabc", 99},
	} {
		s.Scan([]byte(tt.stream), nil, &scratch)
		if got := s.Need(); got != tt.need {
			t.Errorf("after %q: Need is %d, want %d", tt.stream, got, tt.need)
		}
	}
	s.Reset()
	if !s.Idle() || s.Need() != 0 {
		t.Errorf("after Reset: Idle %v, Need %d", s.Idle(), s.Need())
	}
}

func TestCommandScannerAllocatesNothing(t *testing.T) {
	frame := []byte("*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$3\r\nxxx\r\n")
	for name, stream := range map[string]string{
		"strict":  string(frame),
		"inline":  "SET key:000001 xxx\r\n",
		"quotes":  "SET \"key 000001\" 'xxx'\r\n",
		"lax":     "*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\n\n$3\r\nxxx\r\n",
		"ignored": "*0\r\n*-1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := []byte(stream)
			var s CommandScanner
			var scratch Scratch
			half := len(p) / 2
			if got := testing.AllocsPerRun(100, func() { s.Scan(p, nil, &scratch) }); got != 0 {
				t.Errorf("whole: %v allocations per frame", got)
			}
			if got := testing.AllocsPerRun(100, func() {
				_, n, _ := s.Scan(p[:half], nil, &scratch)
				s.Scan(p[n:], nil, &scratch)
			}); got != 0 {
				t.Errorf("in two pieces: %v allocations per frame", got)
			}
		})
	}
}

func BenchmarkCommandScan(b *testing.B) {
	for _, bm := range []struct{ name, frame string }{
		{"set", "*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$3\r\nxxx\r\n"},
		{"get", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"},
		{"inline", "SET key:000001 xxx\r\n"},
	} {
		p := []byte(bm.frame)
		b.Run(bm.name+"/whole", func(b *testing.B) {
			var s CommandScanner
			var scratch Scratch
			b.ReportAllocs()
			for b.Loop() {
				if cmd, _, _ := s.Scan(p, &Limits{}, &scratch); cmd == nil {
					b.Fatal("no frame")
				}
			}
		})
		b.Run(bm.name+"/split", func(b *testing.B) {
			var s CommandScanner
			var scratch Scratch
			b.ReportAllocs()
			for b.Loop() {
				s.Scan(p[:len(p)-5], &Limits{}, &scratch)
				if cmd, _, _ := s.Scan(p, &Limits{}, &scratch); cmd == nil {
					b.Fatal("no frame")
				}
			}
		})
	}
}

// BenchmarkCommandScanPipeline reads a buffer full of commands, as under a deep pipeline.
func BenchmarkCommandScanPipeline(b *testing.B) {
	frame := []byte("*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$3\r\nxxx\r\n")
	p := bytes.Repeat(frame, 64<<10/len(frame))
	var s CommandScanner
	var scratch Scratch
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		for rest := p; len(rest) > 0; {
			_, n, _ := s.Scan(rest, &Limits{}, &scratch)
			rest = rest[n:]
		}
	}
	perPass := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(perPass/float64(len(p)/len(frame)), "ns/frame")
}

// BenchmarkCommandScanBytewise shows that nothing is scanned twice: its cost per byte does not
// depend on the size of the frame.
func BenchmarkCommandScanBytewise(b *testing.B) {
	for _, count := range []int{10, 1000} {
		args := make([][]byte, count)
		for i := range args {
			args[i] = []byte("0123456789")
		}
		frame := AppendCommand(nil, args...)
		b.Run(strconv.Itoa(len(frame)), func(b *testing.B) {
			var s CommandScanner
			var scratch Scratch
			for b.Loop() {
				for i := range frame {
					s.Scan(frame[:i+1], nil, &scratch)
				}
			}
			perFrame := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(perFrame/float64(len(frame)), "ns/byte")
		})
	}
}
