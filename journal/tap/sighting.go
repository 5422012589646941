package tap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/internal/wire"
)

// sighting is a primary's state at one moment.
type sighting struct {
	replID  string
	runID   string
	offset  int64 // a command ends there
	replica bool
	keys    map[int]int64 // by database, without the mark
	expires int64
	expired *int64 // keys expired since the start; nil: unknown
	evicted int64  // likewise; -1: unknown
	aof     aofLength
	asked   time.Time // before the request
	clock   int64     // the server's, in microseconds since 1970; 0: unknown
	dataset int64     // bytes in memory
	mark    string    // "": none
	markErr error     // why it cannot be read
}

// ask looks at a server whose mark's database, db, is selected. One INFO describes one moment.
func ask(ctx context.Context, c *wire.Conn, db int) (*sighting, error) {
	asked := time.Now()
	v, err := c.Do(ctx, "iNfO", "server", "replication", "persistence", "stats", "memory",
		"keyspace")
	if err != nil {
		return nil, refused("INFO", err)
	}
	text, _ := v.(string)
	f := wire.Fields(text)
	s := &sighting{replID: f["master_replid"], runID: f["run_id"], replica: f["role"] == "slave",
		keys: map[int]int64{}, aof: readAOF(f), evicted: -1, asked: asked}
	s.clock, _ = strconv.ParseInt(f["server_time_usec"], 10, 64)
	if s.offset, err = strconv.ParseInt(f["master_repl_offset"], 10, 64); err != nil {
		return nil, fmt.Errorf("%w: INFO: master_repl_offset %q", ErrHandshake,
			f["master_repl_offset"])
	}
	if n, err := strconv.ParseInt(f["expired_keys"], 10, 64); err == nil {
		s.expired = &n
	}
	s.dataset, _ = strconv.ParseInt(f["used_memory_dataset"], 10, 64)
	if n, err := strconv.ParseInt(f["evicted_keys"], 10, 64); err == nil {
		s.evicted = n
	}
	s.takeKeys(f)
	v, err = c.Do(ctx, "gEt", MarkKey)
	var refusal wire.Error
	if errors.As(err, &refusal) {
		s.markErr = refusal
		return s, nil
	}
	if s.mark, _ = v.(string); s.mark != "" {
		s.keys[db]--
	}
	maps.DeleteFunc(s.keys, func(_ int, n int64) bool { return n <= 0 })
	return s, err
}

// takeKeys parses lines like db0:keys=12,expires=3,avg_ttl=0.
func (s *sighting) takeKeys(f map[string]string) {
	for name, line := range f {
		db, err := strconv.Atoi(strings.TrimPrefix(name, "db"))
		if err != nil || !strings.HasPrefix(name, "db") {
			continue
		}
		for field := range strings.SplitSeq(line, ",") {
			key, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case err != nil:
			case key == "keys":
				s.keys[db] = n
			case key == "expires":
				s.expires += n
			}
		}
	}
}
