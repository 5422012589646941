package policy

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
)

// routeSamples is requests beyond samples that write or read by their options.
var routeSamples = strings.Split(strings.TrimSpace(`
BITFIELD k SET u8 0 7
BITFIELD k GET u8 0
EVAL return(redis.call('set',KEYS[1],'x')) 1 k
EVAL return(redis.call('set','z','x')) 0
EVAL_RO return(redis.call('get',KEYS[1])) 1 k
EXPIRE k -1
FLUSHALL
FLUSHDB
FUNCTION FLUSH
FUNCTION LIST
GETEX k
GETEX k EX 100
GETEX k PERSIST
GEORADIUS k 0 0 1 m STORE d
HGETEX k FIELDS 1 f
HGETEX k EX 100 FIELDS 1 f
HGETEX k PERSIST FIELDS 1 f
MOVE k 3
OBJECT ENCODING k
PFDEBUG GETREG k
PUBLISH k v
SCRIPT FLUSH
SCRIPT LOAD return(1)
SINTERSTORE d a b
SORT k BY w_* GET # LIMIT 0 2
SORT k BY nosort STORE d
SPUBLISH k v
SUBSCRIBE k
SWAPDB 0 1
TOUCH k
XGROUP CREATE k h 0
XREADGROUP GROUP g c STREAMS k >
XREADGROUP GROUP g c STREAMS k 0
ZRANGESTORE d k 0 1
`), "\n")

// valuesOfTypes makes the keys k, a and b, all of one type.
var valuesOfTypes = []string{
	"", "SET %s 3", "RPUSH %s 2 1", "SADD %s 1 2", "ZADD %s 1 m 2 n", "HSET %s f 1",
	"PFADD %s x y", "GEOADD %s 0 0 m", "XGROUP CREATE %s g 0 MKSTREAM|XADD %s 1-1 f v",
}

// TestServerWritesAreOnRoutes sends requests to servers, on keys of each type: whatever changes the
// data set must be on a route for all. The server counts its changes itself.
func TestServerWritesAreOnRoutes(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		table := serverTable(t, srv)
		r, err := NewRoutes(table, []RouteSpec{{Name: "all", Demand: Demand{Journal: true}}})
		if err != nil {
			t.Fatal(err)
		}
		wrote, read := 0, 0
		for _, line := range slices.Concat(samples, routeSamples) {
			args := split(line)
			cmd := table.Lookup(args)
			on := r.Match(&Request{Cmd: cmd, Args: args}).Route != nil
			if cmd.Name == "" || cmd.Name == "migrate" || cmd.Name == "subscribe" ||
				cmd.Flags.Has(FlagBlocking) && cmd.Name != "xread" && cmd.Name != "xreadgroup" {
				continue
			}
			for _, values := range valuesOfTypes {
				switch changed := changes(t, srv, values, args); {
				case changed && !on && cmd.Name != "pfcount": // a cache, see writeKindOf
					t.Errorf("%s, with %q: the server counts a change, and it is on no route",
						line, values)
				case changed:
					wrote++
				case !on:
					read++
				}
			}
		}
		t.Logf("%d writes, %d reads", wrote, read)
		if wrote < 200 || read < 200 {
			t.Error("too few of them did what they are for")
		}
	})
}

var changesCount = regexp.MustCompile(`rdb_changes_since_last_save:(\d+)`)

// changes reports whether a request changes something, with keys made by the commands of values.
func changes(t *testing.T, srv *proxytest.Server, values string, args [][]byte) bool {
	t.Helper()
	ctx, pipe := context.Background(), srv.Client().Pipeline()
	do := func(words ...[]byte) *redis.Cmd {
		list := make([]any, len(words))
		for i, word := range words {
			list[i] = word
		}
		return pipe.Do(ctx, list...)
	}
	do([]byte("FLUSHALL"))
	for _, value := range strings.Split(values, "|") {
		for _, key := range []string{"k", "a", "b"} {
			if value != "" {
				do(split(fmt.Sprintf(value, key))...)
			}
		}
	}
	before := do(split("INFO persistence")...)
	do(args...)
	after := do(split("INFO persistence")...)
	pipe.Exec(ctx) // errors of the request itself do not matter
	count := func(c *redis.Cmd) string {
		text, err := c.Text()
		m := changesCount.FindStringSubmatch(text)
		if err != nil || m == nil {
			t.Fatalf("%q: %v, %q", args, err, text)
		}
		return m[1]
	}
	return count(before) != count(after)
}
