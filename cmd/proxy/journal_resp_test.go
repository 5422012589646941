package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// What show --resp prints makes another server the same: all of it, and a choice of it, with any
// bytes and any length, in transactions and in several databases.
func TestShowRESPPipesIntoAServer(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	long := strings.Repeat("x\r\n\x00\xff", 40_000)
	conn := srv.Client().Conn()
	defer conn.Close()
	ctx := t.Context()
	for _, args := range [][]any{
		{"SET", "a", long}, {"SELECT", 3}, {"SET", "b\r\n", ""}, {"HSET", "h", "\x00", "\xff"},
		{"MULTI"}, {"SET", "in", 1}, {"SELECT", 5}, {"RPUSH", "l", "1", "2"}, {"EXEC"}, {"SELECT", 0},
		{"MSET", "m1", 1, "m2", 2}, {"DEL", "m1"},
	} {
		if err := conn.Do(ctx, args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
	p.recordedAll(srv)
	p.stop()
	for _, row := range []struct {
		args []string
		keys int64 // in database 0; -1: all is the same
	}{
		{nil, -1},
		{[]string{"--match", "set"}, 1},
		{[]string{"--match", "m*"}, 2},
	} {
		dst := proxytest.StartServer(t, recordedArgs...)
		text := mustRun(t, append([]string{"journal", "show", "--dir", p.folder(), "--resp"}, row.args...)...)
		pipe(t, dst, text)
		if row.keys < 0 {
			if got, want := dst.MustDo("DEBUG", "DIGEST"), srv.MustDo("DEBUG", "DIGEST"); got != want {
				t.Errorf("%v: digest %v, want %v", row.args, got, want)
			}
			continue
		}
		if n := dst.MustDo("DBSIZE"); n != row.keys {
			t.Errorf("%v: %v keys in database 0, want %d", row.args, n, row.keys)
		}
	}
	code, _, stderr := execute(t, "journal", "show", "--dir", p.folder(), "--resp", "--json")
	if code != exitUsage || !strings.Contains(stderr, "--resp") {
		t.Errorf("with --json: %d, %s", code, stderr)
	}
}

// pipe does what redis-cli --pipe does: it writes everything, and reads until the reply to an ECHO
// at the end. No reply may be an error.
func pipe(t *testing.T, srv *proxytest.Server, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(proxytest.PollTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text+proxytest.Command("ECHO", "the-end")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.HasSuffix(got, []byte("the-end\r\n")) {
		n, err := conn.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range strings.Split(string(got), "\r\n") {
		if strings.HasPrefix(line, "-") {
			t.Errorf("the server answers %q", line)
		}
	}
}
