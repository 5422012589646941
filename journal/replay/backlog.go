package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"holdfast/journal/internal/wire"
)

// maxBacklog bounds the part read of a server's backlog, in bytes.
const maxBacklog = 64 << 20

// Backlog reads a part of a server's present history that a journal never received, if the server's
// backlog holds it. It never causes a snapshot.
func Backlog(ctx context.Context, e wire.Endpoint, replID string, from, to int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if to-from > maxBacklog {
		return nil, fmt.Errorf("%d bytes are missing", to-from)
	}
	conn, err := wire.Dial(ctx, e)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	v, err := conn.Do(ctx, "INFO", "replication")
	if err != nil {
		return nil, err
	}
	text, _ := v.(string)
	info := wire.Fields(text)
	first, err := strconv.ParseInt(info["repl_backlog_first_byte_offset"], 10, 64)
	switch {
	case err != nil || info["repl_backlog_active"] != "1":
		return nil, errors.New("it has no backlog")
	case info["master_replid"] != replID:
		return nil, fmt.Errorf("its replication id is %s, want %s", info["master_replid"], replID)
	case first > from+1: // the server counts from 1
		return nil, fmt.Errorf("its backlog begins at offset %d, want %d", first-1, from)
	}
	v, err = conn.Do(ctx, "PSYNC", replID, strconv.FormatInt(from+1, 10))
	if err != nil {
		return nil, err
	}
	if answer, _ := v.(string); !strings.HasPrefix(answer, "CONTINUE") {
		return nil, fmt.Errorf("it answers PSYNC with %.40q", answer)
	}
	stop, err := conn.Within(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	data := make([]byte, to-from)
	_, err = io.ReadFull(conn.R, data)
	return data, err
}
