package admin

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/proxy/resp"
)

// The packet that ends a process which shows it to redcon.
const hostile = "*1\r\n$9223372036854775807\r\nab\r\n"

func TestHostilePacket(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{})
	other := dial(t, s)
	other.expect("PING", "+PONG\r\n")
	c := dial(t, s)
	c.send(hostile)
	if got := c.rest(); got != "-ERR Protocol error: invalid bulk length\r\n" {
		t.Errorf("got %q", got)
	}
	other.expect("PING", "+PONG\r\n")
	dial(t, s).expect("PING", "+PONG\r\n")
}

func TestViolations(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{})
	arg := "$65536\r\n" + strings.Repeat("x", 65536) + "\r\n"
	for name, row := range map[string]struct{ in, want string }{
		"negative bulk":  {"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		"many arguments": {"*1025\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
		"large argument": {"*1\r\n$65537\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		"no dollar":      {"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"},
		"quotes":         {"PING \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
		"long line": {strings.Repeat("x", 70_000),
			"-ERR Protocol error: too big inline request\r\n"},
		"large frame":      {"*3\r\n" + arg + arg + arg, "-" + string(errTooLarge) + "\r\n"},
		"large half frame": {"*4\r\n" + arg + arg + "$9\r\n", "-" + string(errTooLarge) + "\r\n"},
		"after a command": {"PING\r\n" + hostile,
			"+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"},
		"garbage that goes on": {"*x\r\n" + strings.Repeat("y", 500_000),
			"-ERR Protocol error: invalid multibulk length\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			c.send(row.in)
			if got := c.rest(); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// What Redis ignores is ignored here, at any length.
func TestIgnored(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{}))
	c.send(strings.Repeat("\r\n*0\r\n*-1\r\n", 20_000) + "PING\r\n")
	if got := c.reply(); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestLargestFrame(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{}))
	message := strings.Repeat("x", maxBulk)
	c.send(string(resp.AppendCommandStrings(nil, "PING", message)))
	if got := c.reply(); got != string(resp.AppendBulkString(nil, message)) {
		t.Errorf("got %d bytes", len(got))
	}
	c.expect("PING", "+PONG\r\n")
}

// trickle is a connection that delivers its input in pieces of the given sizes, in turn.
type trickle struct {
	net.Conn  // nil: nothing else is called
	in        []byte
	sizes     []int
	turn      int
	out       bytes.Buffer
	deadlines int
}

func (c *trickle) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := len(c.in)
	if len(c.sizes) > 0 {
		n = min(n, max(1, c.sizes[c.turn%len(c.sizes)]))
		c.turn++
	}
	n = copy(p, c.in[:min(n, len(p))])
	c.in = c.in[n:]
	return n, nil
}

func (c *trickle) Write(p []byte) (int, error) { return c.out.Write(p) }

func (c *trickle) SetWriteDeadline(at time.Time) error {
	if at.After(time.Now()) {
		c.deadlines++
	}
	return nil
}

func newFramed(in []byte, sizes ...int) (*framedConn, *trickle) {
	c := &trickle{in: bytes.Clone(in), sizes: sizes}
	return &framedConn{Conn: c, client: &client{authed: true}}, c
}

const script = "PING\r\n*2\r\n$4\r\nPING\r\n$3\r\na\r\n\r\n" +
	"\r\n*0\r\nSHOW \"a b\" '\\''\n*3\r\n$4\r\nSHOW\r\n$0\r\n\r\n$2\r\n\r\n\r\n"

var scriptFrames = []string{"PING", "PING a\r\n", "SHOW a b '", "SHOW  \r\n"}

// redconFrames is what redcon makes of a framed connection.
func redconFrames(t *testing.T, c *framedConn) []string {
	t.Helper()
	r := redcon.NewReader(c)
	var frames []string
	for {
		cmd, err := r.ReadCommand()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return frames
		}
		frames = append(frames, string(bytes.Join(cmd.Args, []byte(" "))))
	}
}

func TestSplitAtEveryByte(t *testing.T) {
	want := strings.Join(scriptFrames, "|")
	for at := 0; at <= len(script); at++ {
		c, _ := newFramed([]byte(script), at, len(script))
		if got := strings.Join(redconFrames(t, c), "|"); got != want {
			t.Errorf("split at %d: got %q, want %q", at, got, want)
		}
	}
	c, _ := newFramed([]byte(script), 1)
	if got := strings.Join(redconFrames(t, c), "|"); got != want {
		t.Errorf("byte by byte: got %q, want %q", got, want)
	}
}

// Over a real connection too, where each byte is a packet of its own.
func TestSplitOnTheWire(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{}))
	for i := range len(script) {
		c.send(script[i : i+1])
	}
	want := []string{"+PONG\r\n", "$3\r\na\r\n\r\n",
		"-ERR unknown command 'SHOW a b'. Try HELP (in redis-cli: SHOW HELP)\r\n",
		"-ERR unknown command 'SHOW '. Try HELP (in redis-cli: SHOW HELP)\r\n"}
	for _, w := range want {
		if got := c.reply(); got != w {
			t.Errorf("got %q, want %q", got, w)
		}
	}
}

// A client that does not read must not keep its goroutine for ever.
func TestEveryWriteHasADeadline(t *testing.T) {
	c, peer := newFramed(nil)
	for range 3 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if peer.deadlines != 3 {
		t.Errorf("%d deadlines for 3 writes", peer.deadlines)
	}
}

// The buffer does not grow with what is sent, only with what a frame may be.
func TestReceiveBufferIsBounded(t *testing.T) {
	one := resp.AppendCommandStrings(nil, "PING", strings.Repeat("x", 60_000))
	c, _ := newFramed(bytes.Repeat(one, 100))
	p := make([]byte, 4096)
	for {
		_, err := c.Read(p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if cap(c.in) > 4*maxFrame {
			t.Fatalf("the buffer has %d bytes", cap(c.in))
		}
	}
}

// Whatever the bytes and however they arrive, redcon sees exactly the frames that our scanner
// finds in them, each within the limits, and nothing panics.
func FuzzFraming(f *testing.F) {
	f.Add([]byte(script), uint8(3), uint8(5))
	f.Add([]byte(hostile), uint8(1), uint8(1))
	f.Add([]byte("*1\r\n$4\r\nPINGxx*1\r\n$4\r\nQUIT\r\n"), uint8(0), uint8(0))
	f.Add([]byte("*-1\r\n*1025\r\n"), uint8(2), uint8(9))
	f.Fuzz(func(t *testing.T, in []byte, a, b uint8) {
		want := ourFrames(in)
		c, peer := newFramed(in, int(a), int(b))
		r := redcon.NewReader(c)
		for i := 0; ; i++ {
			cmd, err := r.ReadCommand()
			if err == nil {
				if i >= len(want) || !bytes.Equal(cmd.Raw, want[i]) {
					t.Fatalf("frame %d: redcon has %q, we have %q", i, cmd.Raw, want)
				}
				continue
			}
			if i != len(want) {
				t.Fatalf("redcon has %d frames, we have %q; %v", i, want, err)
			}
			if refused := peer.out.Len() > 0; refused != errors.Is(err, errProtocol) {
				t.Fatalf("error %v, reply %q", err, peer.out.String())
			}
			return
		}
	})
}

func ourFrames(in []byte) (frames [][]byte) {
	var s resp.CommandScanner
	var scratch resp.Scratch
	lim := &resp.Limits{MaxArgs: maxArgs, MaxBulk: maxBulk}
	for {
		cmd, n, err := s.Scan(in, lim, &scratch)
		if err != nil || n == 0 {
			return frames
		}
		in = in[n:]
		if cmd != nil {
			frames = append(frames, resp.AppendCommand(nil, cmd.Args...))
		}
	}
}
