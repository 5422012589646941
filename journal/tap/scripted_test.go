package tap_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
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

// oddPrimary is a primary that does what real ones do not do on request. Each PSYNC and each INFO
// has the next answer; the last one serves for all further ones.
type oddPrimary struct {
	ln      net.Listener
	answers []func(c *wire.Conn) // ends the connection when it returns
	infos   []string
	psyncs  atomic.Int64
	asked   atomic.Int64
}

func startOdd(t *testing.T, answers ...func(c *wire.Conn)) string {
	return startOddWith(t, []string{""}, answers...)
}

func startOddWith(t *testing.T, infos []string, answers ...func(c *wire.Conn)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &oddPrimary{ln: ln, answers: answers, infos: infos}
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { o.converse(wire.NewConn(nc)) })
		}
	})
	return ln.Addr().String()
}

func (o *oddPrimary) converse(c *wire.Conn) {
	defer c.Close()
	for {
		args, err := c.Command()
		if err != nil {
			return
		}
		switch args[0] {
		case "INFO":
			n := min(int(o.asked.Add(1)), len(o.infos)) - 1
			fmt.Fprintf(c, "$%d\r\n%s\r\n", len(o.infos[n]), o.infos[n])
		case "PSYNC":
			o.answers[min(int(o.psyncs.Add(1)), len(o.answers))-1](c)
			return
		default:
			io.WriteString(c, "+OK\r\n")
		}
	}
}

// resync answers with a snapshot and a stream, and lets the other side go once it has acknowledged
// all of it.
func resync(announced, inside int, commands string) func(*wire.Conn) {
	return resyncOf(historyID, announced, inside, commands)
}

func resyncOf(id string, announced, inside int, commands string) func(*wire.Conn) {
	return func(c *wire.Conn) {
		s := snapshotAt(id, inside)
		fmt.Fprintf(c, "+FULLRESYNC %s %d\r\n$%d\r\n%s%s", id, announced, len(s), s, commands)
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
	t.Parallel()
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

// TestKnownAfterwards are servers whose INFO before PSYNC does not say yet what their history continues,
// so that they are asked again: a replica of the old primary that is promoted in between, and a server
// that has loaded its file in between, under the id that it has from its start.
func TestKnownAfterwards(t *testing.T) {
	t.Parallel()
	old, none := strings.Repeat("01d0", 10), strings.Repeat("0", 40)
	follows := func(id, id2 string, end int) string {
		return fmt.Sprintf("master_replid:%s\r\nmaster_replid2:%s\r\nsecond_repl_offset:%d\r\n",
			id, id2, end)
	}
	was := follows(old, none, -1)
	for _, row := range []struct{ name, before string }{
		{"promoted", was}, {"loaded", follows(historyID, none, -1) + "loading:1\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			first := proxytest.Command("SET", "a", "1")
			lost := proxytest.Command("SET", "a", "2")
			fork := 100 + len(first)
			r := newRig(t, startOddWith(t, []string{was, row.before, follows(historyID, old, fork+1)},
				resyncOf(old, 100, 100, first+lost), resync(fork, fork, first))).start()
			proxytest.Poll(t, "the second history", func() bool { return len(r.view().Timelines()) >= 2 })
			tl, in := r.view().Timelines()[1], r.view().Incidents()
			if tl.Parent != 1 || tl.Fork != int64(fork) || tl.ReplID != historyID {
				t.Errorf("timeline %+v, want a child at %d", tl, fork)
			}
			if len(in) == 0 || in[0].From != int64(fork) || in[0].Commands != 1 {
				t.Errorf("incidents %+v, want the first of the one command from %d", in, fork)
			}
		})
	}
}

// TestSnapshotSaysOtherwise is not recorded.
func TestSnapshotSaysOtherwise(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
