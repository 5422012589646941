package tap

import (
	"context"
	"slices"
	"strings"

	"holdfast/journal/internal/wire"
)

// evidence is a look at a server that came with a history of its own, over a connection of its own,
// before the proxy writes its mark to that history.
type evidence struct {
	*sighting
	conn *wire.Conn
	// untouched: no client has written since the server was started.
	untouched bool
	early     []string // commands that may have changed a key, as journal.Incident.Early
	loaded    int64    // bytes of its append-only file, seen during loading; 0: not seen
}

// lookAt takes the evidence.
func (t *Tap) lookAt(ctx context.Context) (*evidence, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	e := &evidence{conn: conn}
	db, err := selectMark(ctx, conn)
	if err == nil {
		e.sighting, err = ask(ctx, conn, db)
	}
	if err == nil {
		e.loaded = t.loadedBy(e.runID)
		e.early, err = harmful(ctx, conn)
		e.untouched = err == nil && len(e.early) == 0 && e.evicted == 0
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return e, nil
}

// harmless are the commands, as INFO commandstats names them, that change no key by themselves:
// commands in a script or a transaction are counted under their own names, too. A server does not
// count the commands that it loads from its append-only file.
var harmless = map[string]bool{}

func init() {
	for _, name := range strings.Fields("info ping echo select auth hello reset quit psync sync " +
		"replconf command config|get config|set wait waitaof time role lastsave publish spublish " +
		"subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe monitor readonly " +
		"exists get mget strlen getrange type ttl pttl expiretime pexpiretime object|encoding " +
		"object|idletime object|freq object|refcount keys scan randomkey dbsize dump " +
		"hget hmget hgetall hlen hkeys hvals hexists hstrlen hscan " +
		"lrange lindex llen lpos smembers sismember smismember scard srandmember sscan " +
		"zscore zmscore zrange zrangebyscore zrevrange zrevrangebyscore zrank zrevrank zcard " +
		"zcount zscan xrange xrevrange xlen xread bgsave save bgrewriteaof " +
		"multi exec discard watch unwatch eval evalsha eval_ro evalsha_ro fcall fcall_ro " +
		"script|load script|exists function|list function|stats") {
		harmless[name] = true
	}
}

// harmlessFamilies are the commands without a subcommand that changes a key.
var harmlessFamilies = []string{"client|", "command|", "acl|", "slowlog|", "latency|", "memory|",
	"module|", "xinfo|", "pubsub|", "cluster|", "sentinel|", "commandlog|"}

// harmful asks for the executed commands that may have changed a key.
func harmful(ctx context.Context, c *wire.Conn) ([]string, error) {
	v, err := c.Do(ctx, "iNfO", "commandstats")
	if err != nil {
		return nil, refused("INFO", err)
	}
	text, _ := v.(string)
	return harmfulOf(wire.Fields(text)), nil
}

// harmfulOf parses INFO commandstats.
func harmfulOf(fields map[string]string) (out []string) {
	for key := range fields {
		if name, ok := strings.CutPrefix(key, "cmdstat_"); ok && !isHarmless(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func isHarmless(name string) bool {
	for _, family := range harmlessFamilies {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return harmless[name]
}
