package stream

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const sample = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n" +
	"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nb\n\r\n" +
	"\n" +
	"PING\r\n" +
	"*1\r\n$5\r\nMULTI\r\n" +
	"*2\r\n$6\r\nselect\r\n$1\r\n3\r\n" +
	"*2\r\n$3\r\nDEL\r\n$0\r\n\r\n" +
	"*1\r\n$4\r\nexec\r\n" +
	"*0\r\n" +
	"*1\r\n$8\r\nFLUSHALL\r\n"

// seen is a command as text: "start-end db tx args".
func seen(c *Command) string {
	var args []string
	for _, a := range c.Args {
		args = append(args, fmt.Sprintf("%q", a))
	}
	return fmt.Sprintf("%d-%d db%d tx%d %s cut=%v", c.Start, c.End, c.DB, c.Tx,
		strings.Join(args, " "), c.Cut)
}

func scan(t *testing.T, s *Scanner, p string, piece int) []string {
	t.Helper()
	var all []string
	for len(p) > 0 {
		n := min(piece, len(p))
		err := s.Feed(time.Unix(int64(s.Offset()), 0), []byte(p[:n]), func(c *Command) error {
			all = append(all, seen(c))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
	return all
}

func TestCommandsHoweverTheStreamIsSplit(t *testing.T) {
	want := []string{
		`100-123 db-1 tx0 "SELECT" "0" cut=false`,
		`123-154 db0 tx0 "SET" "k" "a\r\nb\n" cut=false`,
		`154-155 db0 tx0  cut=false`,
		`155-161 db0 tx0 "PING" cut=false`,
		`161-176 db0 tx1 "MULTI" cut=false`,
		`176-199 db0 tx2 "select" "3" cut=false`,
		`199-218 db3 tx2 "DEL" "" cut=false`,
		`218-232 db3 tx3 "exec" cut=false`,
		`232-236 db3 tx0  cut=false`,
		`236-254 db3 tx0 "FLUSHALL" cut=false`,
	}
	for piece := 1; piece <= len(sample); piece++ {
		s := NewScanner(Options{Offset: 100, DB: -1})
		if got := scan(t, s, sample, piece); !reflect.DeepEqual(got, want) {
			t.Fatalf("pieces of %d:\n%s\nwant\n%s", piece, strings.Join(got, "\n"),
				strings.Join(want, "\n"))
		}
		if off, db := s.Boundary(); off != 100+int64(len(sample)) || db != 3 {
			t.Fatalf("boundary %d db %d", off, db)
		}
	}
}

// Within a transaction, and within a command, the last boundary stays.
func TestBoundary(t *testing.T) {
	s := NewScanner(Options{DB: 0})
	end := strings.Index(sample, "*1\r\n$5\r\nMULTI")
	exec := strings.Index(sample, "*0\r\n")
	for i := range sample {
		scan(t, s, sample[i:i+1], 1)
		off, db := s.Boundary()
		at := i + 1
		if at >= end && at < exec && (off != int64(end) || db != 0) {
			t.Fatalf("at %d: boundary %d db %d, want %d db 0", at, off, db, end)
		}
		if off > int64(at) || at == exec && off != int64(exec) {
			t.Fatalf("at %d: boundary %d", at, off)
		}
	}
}

func TestLongArgumentsAreCut(t *testing.T) {
	s := NewScanner(Options{MaxArg: 4})
	long := "*3\r\n$3\r\nSET\r\n$6\r\nkeykey\r\n$100000\r\n" + strings.Repeat("x", 100000) + "\r\n" +
		"*1\r\n$4\r\nPING\r\n"
	want := []string{`0-100036 db0 tx0 "SET" "keyk" "xxxx" cut=true`,
		`100036-100050 db0 tx0 "PING" cut=false`}
	for _, piece := range []int{1, 7, 4096, len(long)} {
		s = NewScanner(Options{MaxArg: 4})
		if got := scan(t, s, long, piece); !reflect.DeepEqual(got, want) {
			t.Fatalf("pieces of %d: %q", piece, got)
		}
	}
	if cap(s.store) > 4096 {
		t.Errorf("%d bytes kept of arguments that are cut at 4", cap(s.store))
	}
}

func TestTimeIsThatOfTheFirstByte(t *testing.T) {
	s := NewScanner(Options{})
	var at []int64
	for i, p := range []string{"*1\r\n$4\r\n", "PING\r\n*1\r", "\n$4\r\nPING\r\n"} {
		err := s.Feed(time.Unix(int64(i), 0), []byte(p), func(c *Command) error {
			at = append(at, c.Time.Unix())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := []int64{0, 1}; !reflect.DeepEqual(at, want) {
		t.Errorf("times %v, want %v", at, want)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, row := range []struct {
		in   string
		at   int64
		text string
	}{
		{"*x\r\n", 0, "no length"},
		{"*1\r\n:5\r\n", 4, "'$'"},
		{"*1\r\n$-1\r\n", 4, "negative"},
		{"*1\r\n$9223372036854775807\r\n", 4, "no length"},
		{"*1\r\n$2\r\nabXY", 8, "CR LF"},
		{"*99999999999999999999\r\n", 0, "no length"},
		{strings.Repeat("a", maxLine+1), 0, "a line of more"},
		{"*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n", 0, "SELECT"},
	} {
		s := NewScanner(Options{})
		err := s.Feed(time.Time{}, []byte(row.in), nil)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != row.at ||
			!strings.Contains(err.Error(), row.text) {
			t.Errorf("%.30q: %v", row.in, err)
		}
		if again := s.Feed(time.Time{}, []byte("PING\r\n"), nil); again != err {
			t.Errorf("%.30q: the error is not for good: %v", row.in, again)
		}
	}
}

// A callback that stops leaves the scanner behind its command, to go on from there.
func TestStop(t *testing.T) {
	s := NewScanner(Options{DB: 0})
	err := s.Feed(time.Time{}, []byte(sample), func(c *Command) error {
		if c.Is("set") {
			return ErrStop
		}
		return nil
	})
	if !errors.Is(err, ErrStop) || s.Offset() != 54 {
		t.Fatalf("%v at %d", err, s.Offset())
	}
	if got := scan(t, s, sample[s.Offset():], 10); len(got) != 8 {
		t.Errorf("%d commands left, want 8: %q", len(got), got)
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte(sample), 3)
	f.Add([]byte("*1\r\n$9223372036854775807\r\nab\r\n"), 1)
	f.Add([]byte("*2147483647\r\n$1\r\na\r\n"), 5)
	f.Fuzz(func(t *testing.T, p []byte, piece int) {
		if piece <= 0 {
			piece = 1
		}
		whole, pieces := NewScanner(Options{MaxArg: 8}), NewScanner(Options{MaxArg: 8})
		var a, b []string
		errA := whole.Feed(time.Time{}, p, func(c *Command) error {
			a = append(a, seen(c))
			return nil
		})
		var errB error
		for at := 0; at < len(p) && errB == nil; at += piece {
			errB = pieces.Feed(time.Time{}, p[at:min(at+piece, len(p))], func(c *Command) error {
				b = append(b, seen(c))
				return nil
			})
			if at+piece < at {
				break
			}
		}
		if (errA == nil) != (errB == nil) || !reflect.DeepEqual(a, b) {
			t.Fatalf("whole: %v %v\npieces: %v %v", a, errA, b, errB)
		}
		end := int64(0)
		for _, c := range a {
			var from, to int64
			if _, err := fmt.Sscanf(c, "%d-%d", &from, &to); err != nil || from != end || to <= from {
				t.Fatalf("%q does not continue %d", c, end)
			}
			end = to
		}
	})
}
