package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/quantity"
)

// look is a target's own description at one moment.
type look struct {
	info     map[string]string
	runID    string
	replica  bool
	primary  string // host:port of its primary; empty: none
	linkUp   bool
	loading  bool
	syncing  bool // it reads a snapshot of its primary's, which may lie unread in its socket
	replID   string
	offset   int64            // of its applied stream; -1: unknown
	keys     map[string]int64 // by database, "db0"; nil: not asked for
	rejected int64            // error replies to its own primary, which never sees them
}

// promotedFrom returns the offset at which the server's history continued another one; false: it continues none
// of that id.
func (l *look) promotedFrom(replID string) (int64, bool) {
	next, err := strconv.ParseInt(l.info["second_repl_offset"], 10, 64)
	return next - 1, err == nil && l.info["master_replid2"] == replID
}

// lookSections are the sections that a look asks for. keyspace is cheap, but comes last and is left
// out while the target has better things to do.
var lookSections = []string{"server", "persistence", "replication", "stats"}

// look asks for the target's state.
func (t *target) look(ctx context.Context, more ...string) (look, error) {
	info, err := t.info(ctx, append(slices.Clone(lookSections), more...)...)
	if err != nil {
		return look{}, err
	}
	return readLook(info), nil
}

func readLook(info map[string]string) look {
	l := look{info: info, runID: info["run_id"], replica: info["role"] == "slave",
		linkUp: info["master_link_status"] == "up", loading: info["loading"] == "1",
		syncing: info["master_sync_in_progress"] == "1",
		replID:  info["master_replid"]}
	if l.replica {
		l.primary = net.JoinHostPort(info["master_host"], info["master_port"])
	}
	text := cmp.Or(info["slave_repl_offset"], info["master_repl_offset"])
	var err error
	if l.offset, err = strconv.ParseInt(text, 10, 64); err != nil {
		l.offset = -1
	}
	l.rejected, _ = strconv.ParseInt(info["unexpected_error_replies"], 10, 64) // since 7.0
	l.keys = make(map[string]int64)
	for db, value := range info {
		rest, ok := strings.CutPrefix(value, "keys=")
		if !ok || !strings.HasPrefix(db, "db") {
			continue
		}
		digits, _, _ := strings.Cut(rest, ",")
		l.keys[db], _ = strconv.ParseInt(digits, 10, 64) // the format of INFO
	}
	return l
}

// holds words the target's content: "db0: 5 keys, db3: 1 key"; empty for nothing.
func (l look) holds() string {
	var out []string
	for _, db := range slices.SortedFunc(maps.Keys(l.keys), byNumber) {
		out = append(out, fmt.Sprintf("%s: %s", db, quantity.Of(l.keys[db], "key")))
	}
	if n, _ := strconv.ParseInt(l.info["number_of_functions"], 10, 64); n > 0 { // 7.0 and later say it
		out = append(out, quantity.Of(n, "function"))
	}
	return strings.Join(out, ", ")
}

// byNumber orders db2 before db10.
func byNumber(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }

// deadEnd reports whether nothing answers at an address.
func (t *target) deadEnd(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return true
	}
	conn.Close()
	return false
}
