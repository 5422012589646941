package keyspace

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"

	"holdfast/journal/internal/wire"
)

// scanCount is the COUNT of a SCAN.
const scanCount = 500

// Keys lists the keys of databases whose names match a pattern, as SCAN has them: "" and "*" match
// every name; without dbs it lists every database that has keys. It uses a connection of its own,
// so it can feed [Sync]. A key may come twice, and one that is made or deleted meanwhile may come
// or not.
func (s *Server) Keys(ctx context.Context, pattern string, dbs ...int) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		own, err := Open(ctx, s.endpoint)
		if err != nil {
			yield(Key{}, err)
			return
		}
		defer own.Close()
		all := dbs
		if len(all) == 0 {
			if all, err = own.Databases(ctx); err != nil {
				yield(Key{}, err)
				return
			}
		}
		for _, db := range all {
			for cursor := "0"; ; {
				var names []any
				if names, cursor, err = own.scan(ctx, db, cursor, pattern); err != nil {
					yield(Key{}, err)
					return
				}
				for _, n := range names {
					if !yield(Key{db, textOf(n)}, nil) {
						return
					}
				}
				if cursor == "0" {
					break
				}
			}
		}
	}
}

func (s *Server) scan(ctx context.Context, db int, cursor, pattern string) ([]any, string, error) {
	args := []string{"SCAN", cursor, "COUNT", strconv.Itoa(scanCount)}
	if pattern != "" && pattern != "*" {
		args = append(args, "MATCH", pattern)
	}
	v, err := s.Do(ctx, db, args...)
	reply := listOf(v)
	if err != nil || len(reply) != 2 {
		return nil, "0", err
	}
	return listOf(reply[1]), textOf(reply[0]), nil
}

// Do sends one command in a database and returns its reply: a string, an int64, a []any, or nil. An
// error reply is a *[RefusedError].
func (s *Server) Do(ctx context.Context, db int, args ...string) (any, error) {
	stop, err := within(ctx, s)
	if err != nil {
		return nil, err
	}
	defer stop()
	selected := s.use(db)
	s.put(args...)
	if err := s.flush(); err != nil {
		return nil, err
	}
	no1, err := selected()
	if err != nil {
		return nil, err
	}
	v, no2, err := s.reply()
	if no := cmp.Or(no1, no2); no != "" && err == nil {
		err = s.refused(no)
	}
	return v, err
}

// Info asks INFO for sections, and returns its fields.
func (s *Server) Info(ctx context.Context, sections ...string) (map[string]string, error) {
	stop, err := within(ctx, s)
	if err != nil {
		return nil, err
	}
	defer stop()
	v, no, err := s.do(append([]string{"INFO"}, sections...)...)
	if err != nil {
		return nil, err
	}
	if no != "" {
		return nil, s.refused(no)
	}
	return wire.Fields(textOf(v)), nil
}

// Databases lists the databases that have keys.
func (s *Server) Databases(ctx context.Context) ([]int, error) {
	fields, err := s.Info(ctx, "keyspace")
	if err != nil {
		return nil, err
	}
	var dbs []int
	for field := range fields {
		if n, err := strconv.Atoi(strings.TrimPrefix(field, "db")); err == nil {
			dbs = append(dbs, n)
		}
	}
	slices.Sort(dbs)
	return dbs, nil
}
