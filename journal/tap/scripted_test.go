package tap_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

var historyID = strings.Repeat("5a", 20)

// snapshotAt is an RDB file of no keys that says where it stands. Its checksum is that of a server
// which makes none.
func snapshotAt(id string, offset int) string {
	n := fmt.Sprint(offset)
	return "REDIS0011\xfa\x07repl-id" + string(rune(len(id))) + id +
		"\xfa\x0brepl-offset" + string(rune(len(n))) + n + "\xff" + strings.Repeat("\x00", 8)
}

// oddPrimary is a primary that does what real ones do not do on request. Each connection has the
// next answer to PSYNC; the last one serves for all further ones.
type oddPrimary struct {
	t       *testing.T
	ln      net.Listener
	answers []func(c *wire.Conn) // ends the connection when it returns
}

func startOdd(t *testing.T, answers ...func(c *wire.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &oddPrimary{t: t, ln: ln, answers: answers}
	t.Cleanup(func() { ln.Close() })
	go o.serve()
	return ln.Addr().String()
}

func (o *oddPrimary) serve() {
	for n := 0; ; n++ {
		nc, err := o.ln.Accept()
		if err != nil {
			return
		}
		o.converse(wire.NewConn(nc), o.answers[min(n, len(o.answers)-1)])
		nc.Close()
	}
}

func (o *oddPrimary) converse(c *wire.Conn, answer func(*wire.Conn)) {
	for {
		args, err := c.Command()
		if err != nil {
			return
		}
		switch args[0] {
		case "INFO":
			io.WriteString(c, "$0\r\n\r\n")
		case "PSYNC":
			answer(c)
			return
		default:
			io.WriteString(c, "+OK\r\n")
		}
	}
}

// resync answers with a snapshot and a stream, and lets the other side go once it has acknowledged
// all of it.
func resync(announced, inside int, commands string) func(*wire.Conn) {
	return func(c *wire.Conn) {
		s := snapshotAt(historyID, inside)
		fmt.Fprintf(c, "+FULLRESYNC %s %d\r\n$%d\r\n%s%s", historyID, announced, len(s), s, commands)
		for {
			args, err := c.Command()
			if err != nil || len(args) == 3 && args[2] == fmt.Sprint(announced+len(commands)) {
				return
			}
		}
	}
}

// TestSetBack is a primary with the same history whose offset is lower: a machine that was set
// back to an earlier state.
func TestSetBack(t *testing.T) {
	first := proxytest.Command("SET", "a", "1")
	lost := proxytest.Command("SET", "a", "2") + proxytest.Command("DEL", "a")
	fork := 100 + len(first)
	r := newRig(t, startOdd(t, resync(100, 100, first+lost), resync(fork, fork, first))).start()
	proxytest.Poll(t, "the second history", func() bool { return len(r.view().Timelines()) >= 2 })
	tl, in := r.view().Timelines()[1], r.view().Incidents()
	if tl.Parent != 1 || tl.Fork != int64(fork) || tl.ReplID != historyID {
		t.Errorf("timeline %+v, want a child at %d", tl, fork)
	}
	if len(in) == 0 || in[0].From != int64(fork) || in[0].To != int64(fork+len(lost)) ||
		in[0].Commands != 2 {
		t.Errorf("incidents %+v, want the first of 2 commands from %d", in, fork)
	}
}

// TestSnapshotSaysOtherwise is not recorded.
func TestSnapshotSaysOtherwise(t *testing.T) {
	r := newRig(t, startOdd(t, resync(100, 99, ""))).start()
	proxytest.Poll(t, "the refusal", func() bool {
		return errors.Is(r.tap.Stats().LastErr, tap.ErrSnapshot)
	})
	if p := r.tap.Confirmed(); len(r.view().Timelines()) != 0 || p != (journal.Position{}) {
		t.Errorf("timelines %+v, confirmed %+v; want nothing", r.view().Timelines(), p)
	}
}

// TestAcknowledgesWhenAsked: each request is answered at once, however reads split it, while the disk
// stands and nothing else would be a reason to.
func TestAcknowledgesWhenAsked(t *testing.T) {
	disk := &slowDisk{}
	defer disk.release()
	first := proxytest.Command("SET", "a", "1")
	getAck := proxytest.Command("REPLCONF", "GETACK", "*")
	durable := fmt.Sprint(100 + len(first))
	var r *rig
	done := make(chan error, 1)
	address := startOdd(t, func(c *wire.Conn) {
		acked := func(offset string) error {
			for {
				args, err := c.Command()
				if err != nil || len(args) == 3 && args[2] == offset {
					return err
				}
			}
		}
		s := snapshotAt(historyID, 100)
		fmt.Fprintf(c, "+FULLRESYNC %s 100\r\n$%d\r\n%s", historyID, len(s), s)
		err := acked("100")
		io.WriteString(c, first)
		err = errors.Join(err, acked(durable))
		disk.hold()
		for cut := 1; cut < len(getAck) && err == nil; cut++ {
			io.WriteString(c, getAck[:cut])
			sent := len(first) + (cut-1)*len(getAck) + cut
			proxytest.Poll(t, "the first part to be read", func() bool {
				return r.tap.Stats().BytesRead >= int64(sent)
			})
			io.WriteString(c, getAck[cut:])
			err = acked(durable)
		}
		done <- err
	})
	r = newRig(t, address)
	r.journal.FS = disk.fs()
	r.opts.AckEvery, r.opts.Pace = time.Hour, -1
	r.start()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the primary asked and was not answered")
	}
	disk.release()
}
