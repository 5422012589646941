package tap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// link is one connection to the primary on which PSYNC was answered.
type link struct {
	*wire.Conn
	unhook  func() bool // undoes the context's hold on the connection
	primary primaryInfo
	answer  answer
	trash   map[int64][]int // the result of readLedger
	forked  bool            // the request was for the primary's history from its fork on
}

// psync is a request: the stream of a history from an offset on.
type psync struct {
	replID string
	offset int64 // of the first byte; -1: a snapshot
	forked bool  // the history parts from the journal's there, before the journal's end
}

// psyncFor is the request to a primary. One whose history parts from the journal's before the journal's
// end would have to send a snapshot for the bytes behind that end; from the fork on, its backlog mostly has
// its own.
func psyncFor(cur journal.Timeline, ok bool, p *primaryInfo) psync {
	switch {
	case !ok:
		return psync{"?", -1, false}
	case p.known && !p.loading && p.primary == "" && p.replID2 == cur.ReplID && p.replID != cur.ReplID &&
		cur.Start <= p.secondEnd && p.secondEnd < cur.End:
		return psync{p.replID, p.secondEnd + 1, true}
	}
	return psync{cur.ReplID, cur.End + 1, false}
}

// answer is the primary's answer to PSYNC.
type answer struct {
	full   bool
	replID string // of +FULLRESYNC, and of +CONTINUE with a new id
	offset int64  // of +FULLRESYNC: the stream begins here
}

// primaryInfo is INFO's account of a primary's history. known is false if the user lacks the right.
type primaryInfo struct {
	known       bool
	replID      string
	replID2     string // the history that replID continues, up to secondEnd
	secondEnd   int64  // end of the primary's part of replID2; -1: none
	primary     string // the address of its own primary, if it is a replica; ""
	backlogSize int64
	version     string // "" if the user lacks the right
	runID       string
	loaded      int64 // bytes of the append-only file loaded at its start; 0: unknown
	loading     bool  // it was loading its data, and did not know yet which history that continues
}

// connect dials the primary and goes through the handshake up to its answer to PSYNC, with the arguments that ask
// returns. The options are additional REPLCONF pairs. The context's end closes the connection, then or later;
// close must be called in any case.
func (t *Tap) connect(ctx context.Context, ask func(*primaryInfo) psync, options ...string) (
	*link, error,
) {
	dialing, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	conn, err := t.dial(dialing)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: conn}
	l.unhook = context.AfterFunc(ctx, func() { conn.Close() }) // its reader sees the error
	err = introduce(dialing, l, options)
	t.noteLoaded(l.primary)
	if err == nil {
		q := ask(&l.primary)
		l.forked = q.forked
		err = l.Send("PSYNC", q.replID, strconv.FormatInt(q.offset, 10))
	}
	if err == nil {
		l.answer, err = readAnswer(l.Conn, t.opts.Timeout)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (t *Tap) dial(ctx context.Context) (*wire.Conn, error) { return t.dialTo(ctx, t.address()) }

func (t *Tap) dialTo(ctx context.Context, address string) (*wire.Conn, error) {
	e := t.Endpoint()
	e.Address = address
	return wire.Dial(ctx, e)
}

// close ends the connection. Its error would say nothing about the bytes read.
func (l *link) close() {
	l.unhook()
	l.Conn.Close()
}

// introduce announces us and identifies the primary.
func introduce(ctx context.Context, l *link, options []string) error {
	var err error
	if l.primary, err = askInfo(ctx, l.Conn); err != nil {
		return err
	}
	confs := [][]string{{"listening-port", "0"}, {"capa", "eof", "capa", "psync2"}}
	if len(options) > 0 {
		confs = append(confs, options)
	}
	for _, conf := range confs {
		_, err := l.Do(ctx, append([]string{"REPLCONF"}, conf...)...)
		if err != nil {
			return refused("REPLCONF "+strings.Join(conf, " "), err)
		}
	}
	return sayVersion(ctx, l)
}

// sayVersion announces the primary's own version as ours. Valkey 9 chooses the snapshot's format by
// it: without it, one hash with a field deadline makes every snapshot fail (rdbGetVersionFor in
// rdb.c). Redis does not know the option, which is no error.
func sayVersion(ctx context.Context, l *link) error {
	version := l.primary.version
	if version == "" {
		version = helloVersion(ctx, l.Conn)
	}
	if version == "" {
		return nil
	}
	_, err := l.Do(ctx, "REPLCONF", "version", version)
	var reply wire.Error
	if errors.As(err, &reply) {
		return nil
	}
	return err
}

// helloVersion asks for the version with HELLO, which every user may send. Any other answer counts
// as none: the primary then takes its oldest format.
func helloVersion(ctx context.Context, c *wire.Conn) string {
	v, err := c.Do(ctx, "HELLO")
	if err != nil {
		return "" // a broken connection shows at the next step
	}
	fields, _ := v.([]any)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "version" {
			version, _ := fields[i+1].(string)
			return version
		}
	}
	return ""
}

// refused wraps an error reply; other errors stay as they are.
func refused(what string, err error) error {
	var reply wire.Error
	if errors.As(err, &reply) {
		return fmt.Errorf("%w: %s: %w", ErrRefused, what, reply)
	}
	return err
}

// askInfo reads INFO of the server and its history. A user without that permission is no error.
func askInfo(ctx context.Context, c *wire.Conn) (primaryInfo, error) {
	v, err := c.Do(ctx, "INFO", "server", "replication", "persistence", "stats", "commandstats")
	var reply wire.Error
	if errors.As(err, &reply) && reply.Code() == "NOPERM" {
		return primaryInfo{}, nil
	}
	if err != nil {
		return primaryInfo{}, refused("INFO", err)
	}
	text, _ := v.(string)
	f := wire.Fields(text)
	p := primaryInfo{known: true, replID: f["master_replid"], replID2: f["master_replid2"],
		secondEnd: -1, version: cmp.Or(f["valkey_version"], f["redis_version"]),
		runID: f["run_id"], loaded: firstLook(f), loading: f["loading"] == "1"}
	if n, err := strconv.ParseInt(f["second_repl_offset"], 10, 64); err == nil && n > 0 {
		p.secondEnd = n - 1 // the server counts the first byte that differs
	}
	if f["role"] == "slave" && f["master_host"] != "" {
		p.primary = net.JoinHostPort(f["master_host"], f["master_port"])
	}
	// An older server without the field has no size to warn about.
	p.backlogSize, _ = strconv.ParseInt(f["repl_backlog_size"], 10, 64)
	return p, nil
}

// askAgain asks for INFO over a connection of its own, where the answer to PSYNC names another
// history than INFO did before it, or INFO was about a server that was loading: it was promoted in
// between, or had no backlog yet, or has read in its file which history it continues. Without an
// answer the new history's parent stays unknown, as before.
//
// A replica does not know where its history left the one before. After a full synchronization it
// has forgotten; after a partial one, second_repl_offset is the replica's own offset then (the end
// of the file that it loaded at its start, say), and its primary may have followed the old history
// for longer. The primary at the head of the chain was promoted, and knows.
func (t *Tap) askAgain(ctx context.Context, l *link) {
	if !l.primary.known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	if l.primary.replID != l.answer.replID || l.primary.loading {
		t.askServer(ctx, l, t.address())
	}
	for range maxChain {
		if l.primary.primary == "" || !t.askServer(ctx, l, l.primary.primary) {
			break
		}
	}
	if l.primary.primary != "" { // it cannot be asked: the mark decides
		l.primary.replID2, l.primary.secondEnd = "", -1
	}
}

// maxChain bounds the replicas of replicas on the way to their primary.
const maxChain = 4

// askServer takes a server's INFO on the history that l is about to give, and reports whether INFO
// knows that history.
func (t *Tap) askServer(ctx context.Context, l *link, address string) (took bool) {
	c, err := t.dialTo(ctx, address)
	if err == nil {
		defer c.Close()
		var p primaryInfo
		if p, err = askInfo(ctx, c); err == nil && (address == t.address() ||
			p.replID == l.answer.replID) {
			l.primary, took = p, p.known
		}
	}
	if err != nil {
		t.log.Warn("journal: asking for the new history failed", "server", address, "error", err)
	}
	return took
}

// readAnswer reads the answer to PSYNC. It can take long, while another child of the primary writes
// a file; meanwhile the primary sends newlines as signs of life.
func readAnswer(c *wire.Conn, timeout time.Duration) (answer, error) {
	line, err := patientLine(c, timeout)
	if err != nil {
		return answer{}, err
	}
	words := strings.Fields(line)
	switch {
	case line[0] == '-':
		return answer{}, fmt.Errorf("%w: PSYNC: %s", ErrRefused, line[1:])
	case words[0] == "+CONTINUE" && len(words) == 1:
		return answer{}, nil
	case words[0] == "+CONTINUE" && len(words) == 2 && len(words[1]) == replIDLen:
		return answer{replID: words[1]}, nil
	case words[0] == "+FULLRESYNC" && len(words) == 3 && len(words[1]) == replIDLen:
		n, err := strconv.ParseInt(words[2], 10, 64)
		if err == nil && n >= 0 {
			return answer{full: true, replID: words[1], offset: n}, nil
		}
	}
	return answer{}, fmt.Errorf("%w: PSYNC: %q", ErrHandshake, line)
}

// patientLine reads the next line that is not empty; each line, empty or not, must come within the
// timeout.
func patientLine(c *wire.Conn, timeout time.Duration) (string, error) {
	for {
		if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return "", err
		}
		line, err := c.Line()
		if line = strings.TrimSpace(line); err != nil || line != "" {
			return line, err
		}
	}
}

// replIDLen is the length of a replication id (CONFIG_RUN_ID_SIZE in the server's server.h).
const replIDLen = 40
