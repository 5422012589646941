package diff

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/internal/wire"
	"holdfast/journal/keyspace"
)

// asker asks the live server for everything but values.
type asker struct {
	conn *wire.Conn
	db   int
}

// askTimeout bounds each question.
const askTimeout = 60 * time.Second

func ask(ctx context.Context, e keyspace.Endpoint) (*asker, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", e.Address, err)
	}
	return &asker{conn: conn}, nil
}

func (a *asker) close() { _ = a.conn.Close() } // it only read

func (a *asker) do(ctx context.Context, args ...string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	v, err := a.conn.Do(ctx, args...)
	if err != nil {
		err = fmt.Errorf("%s: %w", args[0], err)
	}
	return v, err
}

func (a *asker) info(ctx context.Context, section string) (map[string]string, error) {
	v, err := a.do(ctx, "INFO", section)
	text, _ := v.(string)
	return wire.Fields(text), err
}

// position is the server's history and offset.
func (a *asker) position(ctx context.Context) (replID string, offset int64, err error) {
	info, err := a.info(ctx, "replication")
	if err != nil {
		return "", 0, err
	}
	offset, err = strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		err = errors.New("INFO replication has no master_repl_offset")
	}
	return info["master_replid"], offset, err
}

// keys is the number of keys in all of the server's databases.
func (a *asker) keys(ctx context.Context) (n int64, err error) {
	info, err := a.info(ctx, "keyspace")
	for db, text := range info {
		if rest, ok := strings.CutPrefix(text, "keys="); ok && strings.HasPrefix(db, "db") {
			digits, _, _ := strings.Cut(rest, ",")
			one, _ := strconv.ParseInt(digits, 10, 64) // as INFO writes it
			n += one
		}
	}
	return n, err
}

// exist reports which of some keys of one database exist.
func (a *asker) exist(ctx context.Context, keys []keyspace.Key) (int64, error) {
	if db := keys[0].DB; db != a.db {
		if _, err := a.do(ctx, "SELECT", strconv.Itoa(db)); err != nil {
			return 0, err
		}
		a.db = db
	}
	args := make([]string, 1, len(keys)+1)
	args[0] = "EXISTS"
	for _, k := range keys {
		args = append(args, k.Name)
	}
	v, err := a.do(ctx, args...)
	n, _ := v.(int64)
	return n, err
}
