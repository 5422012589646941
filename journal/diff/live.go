package diff

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"holdfast/journal/keyspace"
)

// The questions to the live server about everything but values.

// position is the server's history and offset.
func position(ctx context.Context, s *keyspace.Server) (replID string, offset int64, err error) {
	info, err := s.Info(ctx, "replication")
	if err != nil {
		return "", 0, err
	}
	offset, err = strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		err = errors.New("INFO replication has no master_repl_offset")
	}
	return info["master_replid"], offset, err
}

// keyTotal is the number of keys in all of the server's databases.
func keyTotal(ctx context.Context, s *keyspace.Server) (n int64, err error) {
	info, err := s.Info(ctx, "keyspace")
	for db, text := range info {
		if rest, ok := strings.CutPrefix(text, "keys="); ok && strings.HasPrefix(db, "db") {
			digits, _, _ := strings.Cut(rest, ",")
			one, _ := strconv.ParseInt(digits, 10, 64) // as INFO writes it
			n += one
		}
	}
	return n, err
}

// exist reports how many of some keys of one database exist.
func exist(ctx context.Context, s *keyspace.Server, keys []keyspace.Key) (int64, error) {
	args := make([]string, 1, len(keys)+1)
	args[0] = "EXISTS"
	for _, k := range keys {
		args = append(args, k.Name)
	}
	v, err := s.Do(ctx, keys[0].DB, args...)
	n, _ := v.(int64)
	return n, err
}
