package tap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/internal/wire"
)

// link is one connection to the primary on which PSYNC was answered.
type link struct {
	*wire.Conn
	unhook  func() bool // undoes the context's hold on the connection
	primary primaryInfo
	answer  answer
}

// answer is what the primary said to PSYNC.
type answer struct {
	full   bool
	replID string // of +FULLRESYNC, and of +CONTINUE where the primary's id is a new one
	offset int64  // of +FULLRESYNC: the stream begins here
}

// primaryInfo is what INFO says about a primary's history. known is false where the user may not
// ask.
type primaryInfo struct {
	known       bool
	replID      string
	replID2     string // the history that replID continues, up to secondEnd
	secondEnd   int64  // end of what the primary holds of replID2; -1: nothing
	backlogSize int64
}

// connect dials the primary and goes through the handshake up to its answer to PSYNC. The options
// are REPLCONF pairs besides the usual ones. The context's end closes the connection, then or
// later; close must be called in any case.
func (t *Tap) connect(ctx context.Context, replID string, offset int64, options ...string) (
	*link, error,
) {
	dialing, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	conn, err := t.dial(dialing)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: conn}
	l.unhook = context.AfterFunc(ctx, func() { conn.Close() }) // whoever uses it sees the error
	err = introduce(dialing, l, options)
	if err == nil {
		err = l.Send("PSYNC", replID, strconv.FormatInt(offset, 10))
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

func (t *Tap) dial(ctx context.Context) (*wire.Conn, error) {
	return wire.Dial(ctx, wire.Endpoint{
		Address: t.address(), Username: t.opts.Username, Password: t.opts.Password,
		Dial: t.opts.Dial,
	})
}

// close ends the connection. Its error would say nothing about what was read.
func (l *link) close() {
	l.unhook()
	l.Conn.Close()
}

// introduce says what we are and asks who the primary is.
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
	return nil
}

// refused wraps an error reply; other errors stay as they are.
func refused(what string, err error) error {
	var reply wire.Error
	if errors.As(err, &reply) {
		return fmt.Errorf("%w: %s: %s", ErrRefused, what, reply)
	}
	return err
}

// askInfo reads the replication section of INFO. A user without that permission is no error.
func askInfo(ctx context.Context, c *wire.Conn) (primaryInfo, error) {
	v, err := c.Do(ctx, "INFO", "replication")
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
		secondEnd: -1}
	if n, err := strconv.ParseInt(f["second_repl_offset"], 10, 64); err == nil && n > 0 {
		p.secondEnd = n - 1 // the server counts the first byte that it does not share
	}
	// An older server without the field has no size to warn about.
	p.backlogSize, _ = strconv.ParseInt(f["repl_backlog_size"], 10, 64)
	return p, nil
}

// askAgain asks for INFO over a connection of its own, where the answer to PSYNC names another
// history than INFO did before it: a server was promoted in between, or had no backlog yet.
// Without an answer what the new history continues stays unknown, as it would have been.
func (t *Tap) askAgain(ctx context.Context, l *link) {
	if !l.primary.known || l.primary.replID == l.answer.replID {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	c, err := t.dial(ctx)
	if err == nil {
		defer c.Close()
		var p primaryInfo
		if p, err = askInfo(ctx, c); err == nil {
			l.primary = p
		}
	}
	if err != nil {
		t.log.Warn("journal: asking for the new history failed", "primary", t.address(), "error", err)
	}
}

// readAnswer reads the answer to PSYNC. It can take long, while another child of the primary
// writes a file; meanwhile the primary sends newlines to say that it is alive.
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
