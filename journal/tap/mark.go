package tap

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/stream"
)

// marker looks at the primary after each write: it records the number of keys in the journal, and
// writes the mark.
//
//  1. Each Sample it reads the stream since the last look. If that is only marks, PINGs and
//     messages, it does nothing: neither its own mark nor that of another proxy triggers one.
//  2. INFO replication, INFO keyspace and GET of the mark, in one request. INFO's offset is the
//     end of a command.
//  3. SET of the mark to that offset. The value's offset is always below the write in the stream.
//
// A write is followed by a mark within one Sample, also the last one before a pause.
//
// It belongs to one goroutine, keepMark's.
type marker struct {
	t        *Tap
	conn     *wire.Conn // nil: none
	address  string     // conn's
	db       int
	seen     journal.Position // everything before has been looked at; a command begins there
	scanDB   int              // selected there
	stamped  bool             // the append-only file of conn's server may have timestamps
	lastMark int64            // offset in the last mark written to seen's timeline
}

// keepMark runs until the context ends.
func (t *Tap) keepMark(ctx context.Context) {
	if t.opts.Sample <= 0 {
		return
	}
	m := &marker{t: t, scanDB: -1}
	defer m.drop()
	tick := time.NewTicker(t.opts.Sample)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		reused := m.conn != nil
		err := m.look(ctx)
		if err != nil && reused && ctx.Err() == nil {
			m.drop() // the server has restarted since: that breaks the connection, no more
			err = m.look(ctx)
		}
		if err != nil && ctx.Err() == nil {
			m.drop()
			m.report(err)
		}
	}
}

// report logs an error, and its end.
func (m *marker) report(err error) {
	const msg = "journal: the mark cannot be kept up to date: after a restart of the server less can be " +
		"said about what it lost"
	if err != nil {
		m.t.again.Tell(m.t.log, slog.LevelWarn, msg, err, "key", MarkKey)
	} else {
		m.t.again.Forget(msg)
	}
}

func (m *marker) drop() {
	if m.conn != nil {
		m.conn.Close()
		m.conn = nil
	}
}

// look does the work that is due.
func (m *marker) look(ctx context.Context) error {
	p := m.t.opts.Journal.Durable()
	if !m.t.Attached() || p.Timeline == 0 {
		return nil
	}
	if err := m.heed(ctx); err != nil {
		return err
	}
	if quiet, err := m.quiet(ctx, p); quiet || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.t.opts.Timeout)
	defer cancel()
	if err := m.connect(ctx); err != nil {
		return err
	}
	s, err := ask(ctx, m.conn, m.db)
	if err != nil {
		return err
	}
	m.t.stats.update(func(st *Stats) { st.Dataset = s.dataset })
	id, replID, _ := m.t.opts.Journal.DurableIn()
	if s.replID != replID || id != p.Timeline {
		return nil // the history has just changed
	}
	if m.seen.Timeline != id {
		m.lastMark = 0
	}
	denied := m.write(ctx, s)
	var refusal wire.Error
	if denied != nil && !errors.As(denied, &refusal) {
		return denied
	}
	m.report(denied)
	counts, err := m.counts(ctx, s)
	if err != nil {
		return err
	}
	if m.t.opts.Journal.NoteCounts(id, counts) != nil {
		return nil // the timeline or the journal has just ended
	}
	m.seen, m.scanDB = journal.Position{Timeline: id, Offset: s.offset}, -1
	return nil
}

// counts returns the lasting part of a look. Where the append-only file may have timestamps, its
// length counts only behind the mark's own write, and within the same second: see aoflength.go.
func (m *marker) counts(ctx context.Context, s *sighting) (journal.Counts, error) {
	c := journal.Counts{Offset: s.offset, Time: s.asked, Keys: s.keys, Expires: s.expires, Expired: s.expired,
		Mark: m.lastMark, AOF: s.aof.now(), Rootless: s.aof.rootless()}
	if !m.stamped || c.AOF == 0 {
		return c, nil
	}
	c.Stamped, c.AOF = true, 0
	if m.lastMark != s.offset {
		return c, nil // no mark was written
	}
	behind, err := ask(ctx, m.conn, m.db)
	if err != nil {
		return c, err
	}
	const second = 1_000_000
	if behind.replID == s.replID && s.clock > 0 && behind.clock/second == s.clock/second {
		c.Offset, c.Keys, c.Expires, c.Expired = behind.offset, behind.keys, behind.expires, behind.expired
		c.AOF, c.Rootless = behind.aof.now(), behind.aof.rootless()
		c.Time, c.Clock = behind.asked, behind.clock
	}
	return c, nil
}

// write sets the mark to the server's history and offset, as just seen.
func (m *marker) write(ctx context.Context, s *sighting) error {
	if !m.t.opts.Mark || s.replica {
		return nil
	}
	value := nextMark(markPair{s.replID, s.offset}, s.mark)
	if _, err := m.conn.Do(ctx, "sEt", MarkKey, value); err != nil {
		return err
	}
	m.lastMark = s.offset
	m.t.stats.update(func(st *Stats) { st.Marked = s.offset })
	return nil
}

// connect dials the primary, unless connected, and selects the mark's database.
func (m *marker) connect(ctx context.Context) error {
	if m.conn != nil && m.address == m.t.address() {
		return nil
	}
	m.drop()
	address := m.t.address()
	conn, err := m.t.dial(ctx)
	if err != nil {
		return err
	}
	if m.db, err = selectMark(ctx, conn); err != nil {
		conn.Close()
		return err
	}
	buffer, err := replicaBuffer(ctx, conn)
	if err == nil {
		m.stamped, err = mayStamp(ctx, conn)
	}
	if err != nil {
		conn.Close()
		return err
	}
	m.t.stats.update(func(st *Stats) { st.Buffer = buffer })
	m.conn, m.address = conn, address
	return nil
}

// mayStamp asks whether the append-only file has timestamps; true also if the user may not ask.
func mayStamp(ctx context.Context, c *wire.Conn) (bool, error) {
	v, err := c.Do(ctx, "cOnFiG", "gEt", "aof-timestamp-enabled")
	var refusal wire.Error
	if err != nil && !errors.As(err, &refusal) {
		return false, err
	}
	pair, _ := v.([]any)
	return len(pair) != 2 || pair[1] != "no", nil
}

// replicaBuffer asks for the limit of a replica's output buffer; 0: there is no limit, or the user
// may not ask.
func replicaBuffer(ctx context.Context, c *wire.Conn) (int64, error) {
	v, err := c.Do(ctx, "cOnFiG", "gEt", "client-output-buffer-limit")
	var refusal wire.Error
	if err != nil && !errors.As(err, &refusal) {
		return 0, err
	}
	pair, _ := v.([]any)
	if len(pair) != 2 {
		return 0, nil
	}
	text, _ := pair[1].(string)
	return ReplicaBuffer(text), nil
}

// ReplicaBuffer parses the hard limit of replicas, in bytes, from CONFIG GET's
// client-output-buffer-limit; 0: none.
func ReplicaBuffer(limits string) int64 {
	f := strings.Fields(limits)
	for i := 0; i+1 < len(f); i += 4 {
		if f[i] == "slave" || f[i] == "replica" {
			n, _ := strconv.ParseInt(f[i+1], 10, 64) // the server's own format
			return n
		}
	}
	return 0
}

// selectMark selects the highest database: the trash and the proofs of routes have theirs there,
// and applications rarely do. If the number of databases is unknown, that is the highest of a
// server's default, or the first.
func selectMark(ctx context.Context, c *wire.Conn) (db int, err error) {
	last := 15
	v, err := c.Do(ctx, "cOnFiG", "gEt", "databases")
	var refusal wire.Error
	if err != nil && !errors.As(err, &refusal) {
		return 0, err
	}
	if pair, ok := v.([]any); ok && len(pair) == 2 {
		text, _ := pair[1].(string)
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			last = n - 1
		}
	}
	if _, err = c.Do(ctx, "sElEcT", strconv.Itoa(last)); err == nil {
		return last, nil
	}
	if !errors.As(err, &refusal) {
		return 0, err
	}
	return 0, nil // cluster mode, or no right to SELECT: the connection is in the first one
}

// smallPiece bounds the stream read for a look: more than that is no PINGs.
const smallPiece = 64 << 10

// quiet reports whether there was no write since the last look.
func (m *marker) quiet(ctx context.Context, p journal.Position) (bool, error) {
	if p.Timeline != m.seen.Timeline || p.Offset > m.seen.Offset+smallPiece {
		return false, nil
	}
	if p.Offset <= m.seen.Offset {
		return true, nil
	}
	view, err := m.t.opts.Journal.View()
	if err != nil {
		return false, err
	}
	sc := stream.NewScanner(stream.Options{Offset: m.seen.Offset, DB: m.scanDB, MaxArg: 64})
	quiet := true
	err = scan(ctx, view, m.seen, sc, func(c *stream.Command) error {
		if !c.Traceless() {
			quiet = false
			return stream.ErrStop
		}
		return nil
	})
	if err != nil {
		return false, nil // unreadable: better one mark too many
	}
	if quiet {
		m.seen.Offset, m.scanDB = sc.Boundary()
	}
	return quiet, nil
}
