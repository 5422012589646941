package proxytest

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// failures is a testing.TB that keeps what would have failed.
type failures struct {
	testing.TB
	texts    []string
	cleanups []func()
}

func (f *failures) Helper()           {}
func (f *failures) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *failures) Errorf(format string, args ...any) {
	f.texts = append(f.texts, strings.TrimSpace(format))
	for _, a := range args {
		if err, ok := a.(error); ok {
			f.texts = append(f.texts, err.Error())
		}
	}
}

func (f *failures) end() string {
	for _, fn := range f.cleanups {
		fn()
	}
	return strings.Join(f.texts, "; ")
}

func TestScriptedFollowsItsScripts(t *testing.T) {
	s := StartScripted(t,
		Script{Expect("GET", "k"), Send("$1\r\nv\r\n"), ExpectBytes("incr n\r\n"), SendSplit(":1\r\n", 1),
			Close()},
		Script{Expect("set", "k", "two words"), Send("+OK\r\n")},
	)
	handshake := Command("HELLO", "2") + Command("CLIENT", "SETNAME", "x") + "PING\r\n"
	got, err := ask(t, s.Addr, handshake+Command("GET", "k")+"ping\r\nincr n\r\n")
	want := "+OK\r\n+PONG\r\n$1\r\nv\r\n+PONG\r\n:1\r\n"
	if !strings.HasSuffix(got, want) || err != nil {
		t.Errorf("got %q, %v; want ...%q", got, err, want)
	}
	client := NewClient("tcp", s.Addr, "")
	defer client.Close()
	if err := client.Set(t.Context(), "k", "two words", 0).Err(); err != nil {
		t.Error(err)
	}
	s.Wait()
}

func TestScriptedNoticesWhatIsNotInTheScript(t *testing.T) {
	for name, row := range map[string]struct {
		script Script
		send   string
		want   string
	}{
		"another command": {Script{Expect("GET", "k")}, "get k\r\n",
			`got ["get" "k"], want ["GET" "k"]`},
		"one too many": {Script{Expect("a"), Send("+OK\r\n")}, "a\r\nb\r\n",
			`after the script: ["b"]`},
		"other bytes":    {Script{ExpectBytes("get k\r\n")}, "get kk\r\n", `got "get kk\r"`},
		"half a command": {Script{Expect("GET", "k")}, "*2\r\n$3\r\nGET\r\n", "within a command"},
		"no script":      {nil, "get k\r\n", "beyond the 0"},
		"not the end":    {Script{Expect("a"), ExpectEnd()}, "a\r\nb\r\n", "want the end"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &failures{TB: t}
			scripts := []Script{row.script}
			if row.script == nil {
				scripts = nil
			}
			s := StartScripted(f, scripts...)
			conn, err := (&Server{Addr: s.Addr}).Dial()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, row.send); err != nil {
				t.Fatal(err)
			}
			closeWrite(conn)
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
			Poll(t, "the report", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.failed) > 0
			})
			if got := f.end(); !strings.Contains(got, row.want) {
				t.Errorf("got %q, want ...%q...", got, row.want)
			}
		})
	}
}

func TestScriptedCutsAtAnyByte(t *testing.T) {
	const reply = "$5\r\nhello\r\n"
	for n := range len(reply) {
		s := StartScripted(t, Script{Expect("GET", "k"), Send(reply[:n]), Close()})
		if got, err := ask(t, s.Addr, Command("GET", "k")); got != reply[:n] || err != nil {
			t.Errorf("cut at %d: got %q, %v", n, got, err)
		}
		s.Wait()
	}
}

func TestScriptedSignalsAndWaits(t *testing.T) {
	reached, proceed := make(chan struct{}), make(chan struct{})
	s := StartScripted(t, Script{
		Expect("a"), Signal(reached), Await(proceed), Send("+1\r\n"), Close(),
	})
	done := make(chan string)
	go func() {
		got, err := ask(t, s.Addr, "a\r\n")
		if err != nil {
			got = err.Error()
		}
		done <- got
	}()
	<-reached
	select {
	case got := <-done:
		t.Errorf("got %q before the word", got)
	default:
	}
	close(proceed)
	if got := <-done; got != "+1\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestRawSpeaksFirst(t *testing.T) {
	s := StartRaw(t,
		Script{Send("-DENIED go away\r\n"), Close()},
		Script{ExpectBytes("\x00\xff"), ResetConn()},
	)
	if got, err := ask(t, s.Addr, ""); got != "-DENIED go away\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ask(t, s.Addr, "\x00\xff"); err == nil {
		t.Errorf("got %q and an orderly end, want a reset", got)
	}
	s.Wait()
}

func TestScriptedReply(t *testing.T) {
	s := StartScripted(t)
	s.Reply("PING", "-LOADING wait\r\n")
	if got, _ := firstLine(t, s.Addr, "ping\r\n"); got != "-LOADING wait" {
		t.Errorf("got %q", got)
	}
}

// firstLine sends text and returns the first line of the answer.
func firstLine(t *testing.T, addr, text string) (string, error) {
	t.Helper()
	conn, err := (&Server{Addr: addr}).Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func TestReadCommand(t *testing.T) {
	for _, raw := range []string{
		Command("GET", "k"), Command("SET", "k", "a\r\nb"), Command("x", ""), "get k\r\n", "ping\n",
	} {
		args, got, err := readCommand(bufio.NewReader(strings.NewReader(raw + "rest")))
		if string(got) != raw || err != nil || len(args) == 0 {
			t.Errorf("%q: got %q (%q), %v", raw, got, args, err)
		}
	}
	for _, raw := range []string{"*x\r\n", "*1\r\n+a\r\n", "*1\r\n$-1\r\n", "*1\r\n$3\r\nab"} {
		if args, _, err := readCommand(bufio.NewReader(strings.NewReader(raw))); err == nil {
			t.Errorf("%q: got %q, no error", raw, args)
		}
	}
}
