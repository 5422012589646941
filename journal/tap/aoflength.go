package tap

import (
	"context"
	"strconv"
	"time"

	"holdfast/journal"
	"holdfast/journal/stream"
)

// An append-only file holds the same commands as the stream, byte for byte, less those for replicas
// only. So its length at one offset, from INFO, and the stream since give its length at the end of
// the history. A restarted server that has loaded exactly that many bytes has executed everything,
// whatever the commands were: it wrote the file itself, for the file has our mark, and any cut
// makes a file shorter.
//
// A length that differs proves nothing: the file was rewritten or cut.
//
// With aof-timestamp-enabled the server writes a line of 16 bytes before the first command of each
// of its seconds. The length at a mark is requested behind the mark's own write, within the same
// second, so the number of seconds with a write since is the most lines there can be:
//
//	INFO  SET mark  INFO                    last command
//	 └──── one second ──┴──── second 2 ────┴── second 3     at most 2 lines
//
// A file that has all of them lacks nothing. One that has fewer may lack as much of its end.

// aofLength is the append-only file's part of INFO persistence, in bytes.
type aofLength struct {
	whole   bool  // the figures count: it is on, writable, and not being rewritten
	size    int64 // with the unwritten part
	base    int64 // when the server was started or the file last rewritten
	loading int64 // bytes being loaded, perhaps of a snapshot; 0: none
}

func readAOF(f map[string]string) aofLength {
	number := func(field string) int64 {
		n, _ := strconv.ParseInt(f[field], 10, 64) // a missing field counts nothing
		return n
	}
	a := aofLength{size: number("aof_current_size") + number("aof_buffer_length"),
		base: number("aof_base_size")}
	a.whole = f["aof_enabled"] == "1" && f["aof_rewrite_in_progress"] == "0" && a.size > 0 &&
		f["aof_last_write_status"] == "ok" && f["loading"] == "0"
	if f["loading"] == "1" { // the server does not report then whether it is on
		a.loading = number("loading_total_bytes")
	}
	return a
}

// now is the length for a journal; 0: none.
func (a aofLength) now() int64 {
	if !a.whole {
		return 0
	}
	return a.size
}

// rootless reports that the length excludes the server's first file: a server that was started
// without one makes it, and does not count it until its next start.
func (a aofLength) rootless() bool { return a.whole && a.base == 0 }

// loadedSeen is the number of bytes that a server process has loaded.
type loadedSeen struct {
	runID string
	bytes int64
}

// firstLook is the number of bytes loaded at a server's start, by INFO of server, persistence,
// stats and commandstats: while it loads them, or before the first write; 0: no longer known.
func firstLook(f map[string]string) int64 {
	a := readAOF(f)
	switch {
	case a.loading > 0:
		return a.loading
	case f["expired_keys"] == "0" && f["evicted_keys"] == "0" && len(harmfulOf(f)) == 0:
		return a.now()
	}
	return 0
}

// noteLoaded remembers the file that a server was started from. Only the first connection to it
// sees that: later its file may hold other writes.
func (t *Tap) noteLoaded(p primaryInfo) {
	if p.loaded == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded.runID != p.runID {
		t.loaded = loadedSeen{p.runID, p.loaded}
	}
}

// loadedBy is the number of bytes of an append-only file that a server process was seen to load; 0:
// not seen.
func (t *Tap) loadedBy(runID string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded.runID != runID {
		return 0
	}
	return t.loaded.bytes
}

// asLoaded is the number of bytes that a server loaded at its start; 0: unknown. It is visible
// while the server loads, or until the first write: a client's, or an expired key's.
func (e *evidence) asLoaded() int64 {
	switch {
	case !e.aof.whole:
		return 0
	case e.loaded > 0:
		return e.loaded
	case e.untouched && e.expired != nil && *e.expired == 0:
		return e.aof.size
	}
	return 0
}

// loadedAll reports whether the server has loaded an append-only file of exactly its length at the
// end of the current history.
func (c *court) loadedAll(ctx context.Context) bool {
	before, loaded := c.cur.Counts, c.asLoaded()
	if before == nil || before.AOF == 0 || loaded == 0 || c.cur.End-before.Offset > surveyBytes {
		return false
	}
	if before.Rootless { // its first file counts now
		loaded -= c.aof.base
	}
	s := aofScale{db: -1, length: before.AOF}
	sc := stream.NewScanner(stream.Options{Offset: before.Offset, DB: -1, MaxArg: 16})
	err := scan(ctx, c.view, journal.Position{Timeline: c.cur.ID, Offset: before.Offset}, sc, s.take)
	return err == nil && s.length+stampLen*secondsSince(before, s.last) == loaded && sc.Between()
}

// stampLen is the length of "#TS:1764460800\r\n".
const stampLen = 16

// clockSlack is above the lag of the server's clock, which it reads a few times a second.
const clockSlack = 200 * time.Millisecond

// secondsSince bounds the number of seconds that began at the server between a look at it and the
// arrival of a command. Without timestamps in its file, it is 0.
func secondsSince(c *journal.Counts, last time.Time) int64 {
	if !c.Stamped || last.Before(c.Time) {
		return 0
	}
	within := time.Duration(c.Clock%1_000_000) * time.Microsecond
	return int64((within + last.Sub(c.Time) + clockSlack) / time.Second)
}

// aofScale sums the lengths of commands in an append-only file.
type aofScale struct {
	db       int   // selected in the file; -1: unknown
	selected int64 // bytes of the last SELECT of the stream that has not reached the file; 0: none
	length   int64
	last     time.Time // arrival of the last of them
}

func (s *aofScale) take(c *stream.Command) error {
	size := c.End - c.Start
	switch {
	case len(c.Args) == 0, c.Is("PING"), c.Is("REPLCONF"), c.Is("PUBLISH"), c.Is("SPUBLISH"):
		return nil
	case c.Is("SELECT"):
		s.selected = size
		return nil
	case c.Is("MULTI"), c.Is("EXEC"):
		s.length, s.last = s.length+size, c.Time
		return nil
	}
	// A database is selected if the previous command was in another one, as in the stream; but
	// there a PUBLISH may stand between the two.
	if s.selected > 0 && (s.db < 0 || s.db != c.DB) {
		s.length += s.selected
	}
	s.db, s.selected = c.DB, 0
	s.length, s.last = s.length+size, c.Time
	return nil
}
