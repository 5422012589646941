package putback

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"time"

	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
)

// shiftKeys and shiftScan move deadlines on. They run on the scratch server as commands of its
// primary, for which keys and fields that have expired since the point are still there.
//
//go:embed shift.lua
var shiftScript string

// unshiftedKey is a set on the scratch server, in each database: hashes with fields whose deadlines
// cannot be moved.
const unshiftedKey = "holdfast:unshifted"

// errUnshifted is why such a hash is not put back.
var errUnshifted = errors.New("fields of it have expired since the point, and a server of this kind does " +
	"not show them any more: --ttl keep restores it without them")

// readUnshifted reads that set.
func (r *running) readUnshifted(ctx context.Context) error {
	dbs, err := r.source.Databases(ctx)
	if err != nil || !r.Shift {
		return err
	}
	r.unshifted = make(map[keyspace.Key]bool)
	for _, db := range dbs {
		v, err := r.source.Do(ctx, db, "SMEMBERS", unshiftedKey)
		if err != nil {
			return err
		}
		names, _ := v.([]any)
		for _, n := range names {
			name, _ := n.(string)
			r.unshifted[keyspace.Key{DB: db, Name: name}] = true
		}
	}
	return nil
}

// shiftBatch is the number of keys named in one script.
const shiftBatch = 500

// shiftNamed makes a plan move the deadlines of keys.
func shiftNamed(p *replay.Plan, by time.Duration, keys []keyspace.Key) {
	slices.SortFunc(keys, keyspace.Key.Compare)
	db := -1
	for len(keys) > 0 {
		n := 0
		for n < len(keys) && n < shiftBatch && keys[n].DB == keys[0].DB {
			n++
		}
		if keys[0].DB != db {
			db = keys[0].DB
			p.Append("SELECT", strconv.Itoa(db))
		}
		args := []string{"EVAL", shiftScript, strconv.Itoa(n)}
		for _, k := range keys[:n] {
			args = append(args, k.Name)
		}
		p.Append(append(args, milliseconds(by))...)
		keys = keys[n:]
	}
}

// shiftMatching makes a plan move the deadlines of all keys that match patterns, in databases.
func shiftMatching(p *replay.Plan, by time.Duration, patterns []string, dbs []int) {
	for _, db := range dbs {
		p.Append("SELECT", strconv.Itoa(db))
		p.Append(append([]string{"EVAL", shiftScript, "0", milliseconds(by)}, patterns...)...)
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
