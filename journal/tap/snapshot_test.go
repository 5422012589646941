package tap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/journal/internal/wire"
)

// pieces is a connection that gives what it was made of, one piece at each read, and then ends.
type pieces struct {
	net.Conn // nil: nothing else is used
	left     []string
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

func (p *pieces) SetReadDeadline(time.Time) error { return nil }

const (
	mark = "0123456789abcdef0123456789abcdef01234567"
	file = "REDIS0011\xfa\x07repl-id\x04abcd\xffchecksum 0123456789abcdef0123 and no mark"
)

func TestReadSnapshotSplitAnywhere(t *testing.T) {
	t.Parallel()
	whole := "\n\n$EOF:" + mark + "\r\n" + file + mark
	for i := range whole {
		for _, parts := range [][]string{{whole[:i], whole[i:]},
			{whole[:i], whole[i : i+1], whole[i+1:]}} {
			checkSnapshot(t, parts, file)
		}
	}
	for size := 1; size < 45; size++ {
		var parts []string
		for rest := whole; rest != ""; rest = rest[min(size, len(rest)):] {
			parts = append(parts, rest[:min(size, len(rest))])
		}
		checkSnapshot(t, parts, file)
	}
}

func checkSnapshot(t *testing.T, parts []string, want string) {
	t.Helper()
	var nonEmpty []string
	for _, p := range parts {
		if p != "" {
			nonEmpty = append(nonEmpty, p)
		}
	}
	var got bytes.Buffer
	h, err := readSnapshot(wire.NewConn(&pieces{left: nonEmpty}), time.Minute, &got)
	if err != nil || got.String() != want || h.ReplID != "abcd" {
		t.Fatalf("in pieces %.60q: got %q (%v), want %q", parts, got.String(), err, want)
	}
}

func TestReadSnapshotLength(t *testing.T) {
	t.Parallel()
	whole := fmt.Sprintf("\n$%d\r\n%s", len(file), file)
	for i := range whole {
		conn := wire.NewConn(&pieces{left: []string{whole[:i] + "", whole[i:] + "*1\r\n"}})
		if i == 0 {
			conn = wire.NewConn(&pieces{left: []string{whole + "*1\r\n"}})
		}
		var got bytes.Buffer
		if _, err := readSnapshot(conn, time.Minute, &got); err != nil || got.String() != file {
			t.Fatalf("split at %d: got %q (%v)", i, got.String(), err)
		}
		if rest, err := io.ReadAll(conn.R); err != nil || string(rest) != "*1\r\n" {
			t.Fatalf("split at %d: %q (%v) follows, want the stream", i, rest, err)
		}
	}
}

func TestReadSnapshotLarge(t *testing.T) {
	t.Parallel()
	body := "REDIS0011\xff" + strings.Repeat("0123456789abcdef", 1<<17)
	checkHead := func(parts ...string) {
		t.Helper()
		var got bytes.Buffer
		_, err := readSnapshot(wire.NewConn(&pieces{left: parts}), time.Minute, &got)
		if err != nil || got.String() != body {
			t.Fatalf("got %d bytes (%v), want %d", got.Len(), err, len(body))
		}
	}
	checkHead("$EOF:" + mark + "\r\n" + body + mark)
	checkHead(fmt.Sprintf("$%d\r\n%s", len(body), body))
}

func TestReadSnapshotErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, in string
		want     error
	}{
		{"an error reply", "-ERR Unable to perform background save\r\n", ErrRefused},
		{"no snapshot", "+OK\r\n", ErrHandshake},
		{"a short mark", "$EOF:abc\r\n", ErrHandshake},
		{"no length", "$x\r\n", ErrHandshake},
		{"no bytes", "$0\r\n", ErrHandshake},
		{"the end within a length", "$10\r\nREDIS", ErrSnapshot},
		{"the end before the mark", "$EOF:" + mark + "\r\n" + file, ErrSnapshot},
		{"the end within the mark", "$EOF:" + mark + "\r\n" + file + mark[:39], ErrSnapshot},
		{"no RDB", "$5\r\nhello", ErrSnapshot},
		{"nothing", "\n", io.ErrUnexpectedEOF},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := readSnapshot(wire.NewConn(&pieces{left: []string{row.in}}), time.Minute,
				io.Discard)
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

// failing is a disk that is full.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestReadSnapshotWriteError(t *testing.T) {
	t.Parallel()
	full := errors.New("no space")
	body := strings.Repeat("x", 8<<20)
	in := []string{"$EOF:" + mark + "\r\nREDIS0011\xff", body, body, mark}
	_, err := readSnapshot(wire.NewConn(&pieces{left: in}), time.Minute, failing{full})
	if !errors.Is(err, full) {
		t.Errorf("got %v, want the disk's error", err)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add([]byte("\n$EOF:"+mark+"\r\n"+file+mark), 3)
	f.Add([]byte("$10\r\nREDIS0011\xff*1\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		var parts []string
		size = max(1, size%64)
		for rest := string(b); rest != ""; rest = rest[min(size, len(rest)):] {
			parts = append(parts, rest[:min(size, len(rest))])
		}
		var got bytes.Buffer
		_, err := readSnapshot(wire.NewConn(&pieces{left: parts}), time.Minute, &got)
		if err == nil && !bytes.Contains(b, got.Bytes()) {
			t.Errorf("%q came out of %q", got.Bytes(), b)
		}
	})
}
