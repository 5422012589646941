package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A way is one way round the rules that somebody may think of. Whatever the answers are, the data that
// was there must still be there in the end, or come back by UNDO.
type way struct {
	// sends is what the client sends, a line for each request: words with | between them in the
	// binary form, or, behind a >, as they are, inline. Behind a = it is raw bytes, lines and all, and
	// behind a / likewise, in pieces of a byte each. \n in a word is a line's end.
	sends string
	// want begins the answers, one for each line: "" for none; what is missing is not looked at.
	want []string
	only string // the kind of server that has it
}

// ways is a table of them under the same rules.
type ways struct {
	rules   string // see parseRules
	change  func(*proxy.Options)
	prepare func(*proxytest.Server)
	rows    []way
}

// run plays each row against each server, by a connection of its own.
func (w *ways) run(t *testing.T, args ...string) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		if w.prepare != nil {
			w.prepare(srv)
		}
		addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
			o.Rules = parseRules(t, w.rules)
			if w.change != nil {
				w.change(o)
			}
		})
		for _, row := range w.rows {
			if row.only != "" && !strings.Contains(row.only, srv.Binary.Kind) {
				continue
			}
			t.Run(row.sends[:min(len(row.sends), 80)], func(t *testing.T) { row.play(t, srv, addr, p) })
		}
	}, args...)
}

func (row *way) play(t *testing.T, srv *proxytest.Server, addr string, p *proxy.Served) {
	before := treasure(t, srv)
	c := dial(t, addr)
	lines := strings.Split(row.sends, "\n")
	switch row.sends[0] {
	case '=':
		c.send(row.sends[1:])
		lines = nil
	case '/':
		for _, b := range []byte(row.sends[1:]) {
			if _, err := c.Write([]byte{b}); err != nil {
				break // it was closed for what came before
			}
		}
		lines = nil
	}
	for i, line := range lines {
		c.send(frameOf(line))
		if i >= len(row.want) || row.want[i] == "" {
			continue
		}
		if got := c.reply(); !strings.HasPrefix(got, row.want[i]) {
			t.Errorf("%q: got %q, want %q", line, short(got), row.want[i])
		}
	}
	if len(row.want) < max(len(lines), 1) { // whatever it answers, all of it is carried out then
		c.finish()
	}
	expectTreasure(t, srv, p, before)
}

// frameOf is a line of a way as bytes.
func frameOf(line string) string {
	if inline, ok := strings.CutPrefix(line, ">"); ok {
		return inline + "\r\n"
	}
	return proxytest.Command(strings.Split(strings.ReplaceAll(line, `\n`, "\n"), "|")...)
}

// finish waits until the server has done all that was sent, or the connection has ended.
func (c *conn) finish() {
	c.t.Helper()
	if _, err := c.Write([]byte("PING end-of-way\r\n")); err != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 64<<10)
	for got := ""; !strings.Contains(got, "end-of-way"); {
		n, err := c.r.Read(buf)
		if err != nil {
			return
		}
		got = got[max(0, len(got)-20):] + string(buf[:n])
	}
}

// treasure makes the data that must not be lost, and returns what it is.
func treasure(t *testing.T, srv *proxytest.Server) map[string]string {
	t.Helper()
	dial(t, srv.Addr).doWell(
		"FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH", "SELECT 1", "SET keep other", "SELECT 0",
		"SET keep v PXAT 4102444800000", "SET keep2 w", "RPUSH keep:list a b c",
		"SADD keep:set 1 2",
		"ZADD keep:z 1 a", "HSET keep:h f v", "SET loose x", "RPUSH looselist 3 1 2",
		"SADD looseset 1",
	)
	return holdings(t, srv)
}

// holdings is every key that begins with keep, in the databases that clients see.
func holdings(t *testing.T, srv *proxytest.Server) map[string]string {
	t.Helper()
	out := map[string]string{}
	c := dial(t, srv.Addr)
	for db := range 8 {
		for name, value := range c.digest(db) {
			if strings.HasPrefix(name, "keep") {
				out[fmt.Sprint(db, ":", name)] = value
			}
		}
	}
	return out
}

// expectTreasure requires what was there before, if need be by UNDO of all that is in the trash.
func expectTreasure(t *testing.T, srv *proxytest.Server, p *proxy.Served, before map[string]string) {
	t.Helper()
	lost := missing(before, holdings(t, srv))
	if len(lost) == 0 {
		return
	}
	trash, err := p.Trash(context.Background(), 0)
	if err != nil {
		t.Fatalf("lost: %v; and there is no trash: %v", lost, err)
	}
	var failed []error
	for _, e := range slices.Backward(trash.Entries) {
		if e.ID == 0 {
			continue
		}
		if _, err := p.Undo(context.Background(), e.ID, "REPLACE"); err != nil {
			failed = append(failed, err)
		}
	}
	if lost = missing(before, holdings(t, srv)); len(lost) > 0 {
		t.Errorf("lost for good: %v; the trash had %+v; UNDO: %v", lost, trash, failed)
	}
}

func missing(want, got map[string]string) (out []string) {
	for name, value := range want {
		if got[name] != value {
			out = append(out, name)
		}
	}
	return out
}

// parseRules reads rules, a line each: the action, the commands, and conditions as users=a,b.
func parseRules(t *testing.T, text string) (specs []policy.RuleSpec) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		spec := policy.RuleSpec{Name: fmt.Sprint("r", len(specs)+1), Action: words[0]}
		for _, word := range words[1:] {
			field, value, ok := strings.Cut(word, "=")
			list := strings.Split(value, ",")
			switch {
			case !ok:
				spec.Commands = append(spec.Commands, word)
			case field == "users":
				spec.Users = list
			case field == "names":
				spec.ClientNames = list
			case field == "keys":
				spec.Keys = list
			case field == "except":
				spec.Except = list
			case field == "databases":
				n, err := strconv.Atoi(value)
				if err != nil {
					t.Fatal(err)
				}
				spec.Databases = []int{n}
			default:
				t.Fatalf("unknown field %q", field)
			}
		}
		specs = append(specs, spec)
	}
	return specs
}

// sampleRules are those of the design, with the trash for single keys.
const sampleRules = `
	trash flushall flushdb del unlink getdel rename restore copy
	rewrite keys
	deny @dangerous except=info,keys,sort,flushall,flushdb,restore
`

// Flushes in every spelling and state of a session.
func TestWaysToFlush(t *testing.T) {
	t.Parallel()
	w := ways{rules: sampleRules, rows: []way{
		{sends: "FLUSHALL", want: []string{"+OK"}},
		{sends: "fLuShAlL|aSyNc", want: []string{"+OK"}},
		{sends: "FLUSHALL|SYNC", want: []string{"+OK"}},
		{sends: "FLUSHALL|NOW", want: []string{"-ERR syntax error"}},
		{sends: ">flushall", want: []string{"+OK"}},
		{sends: ">  \t \"FLUSHALL\"   ", want: []string{"+OK"}},
		{sends: ">'flush'all"},
		{sends: `>"\x46LUSHALL"`, want: []string{"+OK"}},
		{sends: "FLUSHALL\x00", want: nil},
		{sends: "FLUSHALL\x00x", want: nil},
		{sends: "FLUSHALL \n FLUSHALL", want: []string{"-ERR", "-ERR"}},
		{sends: "FLUSHDB", want: []string{"+OK"}},
		{sends: "SELECT|1\nFLUSHDB", want: []string{"+OK", "+OK"}},
		{sends: "MULTI\nFLUSHALL\nEXEC", want: []string{"+OK", "+QUEUED", "*1"}},
		{sends: "MULTI\nSELECT|1\nFLUSHDB\nEXEC",
			want: []string{"+OK", "+QUEUED", "+QUEUED", "*2"}},
		{sends: "MULTI\nSELECT|1\nEXEC\nFLUSHDB", want: []string{"+OK", "+QUEUED", "*1", "+OK"}},
		{sends: "WATCH|keep\nFLUSHALL", want: []string{"+OK", "+OK"}},
		{sends: "HELLO|3\nFLUSHALL", want: []string{"%", "+OK"}},
		{sends: "HELLO|3\nSUBSCRIBE|x\nFLUSHALL", want: []string{"%", ">3", "+OK"}},
		{sends: "SUBSCRIBE|x\nFLUSHALL", want: []string{"*3", "-ERR Can't execute 'flushall'"}},
		{sends: "PSUBSCRIBE|*\nPUNSUBSCRIBE\nFLUSHALL"},
		{sends: "CLIENT|REPLY|OFF\nFLUSHALL\nCLIENT|REPLY|ON", want: []string{"", "", "+OK"}},
		{sends: "CLIENT|REPLY|SKIP\nFLUSHALL\nFLUSHALL"},
		{sends: "CLIENT|TRACKING|ON\nFLUSHALL"},
		{sends: "MONITOR\nFLUSHALL"},
		{sends: "RESET\nFLUSHALL", want: []string{"+RESET", "+OK"}},
		{sends: "CLIENT|NO-EVICT|ON\nFLUSHALL", want: []string{"-DENIED"}},
		{sends: "ASKING\nFLUSHALL"}, {sends: "READONLY\nFLUSHALL"},
		{sends: "BLPOP|none|0.01\nFLUSHALL", want: []string{"*-1", "+OK"}},
		{sends: "WAIT|0|1\nFLUSHALL", want: []string{":0", "+OK"}},
		{sends: strings.Repeat("FLUSHALL\n", 20) + "FLUSHDB"},
		{sends: "FLUSHALL|ASYNC|SYNC", want: []string{"-ERR syntax"}},
	}}
	w.run(t, "--databases", "64")
}

// Commands that delete or overwrite single keys.
func TestWaysToDelete(t *testing.T) {
	t.Parallel()
	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	w := ways{rules: sampleRules, rows: []way{
		{sends: "DEL|keep|keep2|keep", want: []string{":2"}},
		{sends: ">dEl keep", want: []string{":1"}},
		{sends: "UNLINK|keep|keep:list", want: []string{":2"}},
		{sends: "GETDEL|keep", want: []string{"$1"}},
		{sends: "EXPIRE|keep|-1", want: []string{":1"}},
		{sends: "EXPIRE|keep|0", want: []string{":1"}},
		{sends: "PEXPIRE|keep|-9223372036854775807"},
		{sends: "EXPIREAT|keep|" + past, want: []string{":1"}},
		{sends: "PEXPIREAT|keep|" + past + "000", want: []string{":1"}},
		{sends: "EXPIREAT|keep|0", want: []string{":1"}},
		{sends: "GETEX|keep|EXAT|" + past, want: []string{"$1"}},
		{sends: "GETEX|keep|PXAT|1", want: []string{"$1"}},
		{sends: "SET|keep|x|EXAT|" + past, want: []string{"+OK"}},
		{sends: "SET|keep|x|PXAT|1", want: []string{"+OK"}},
		{sends: "SET|keep|x|GET|PXAT|1", want: []string{"$1"}},
		{sends: "MULTI\nSET|keep|x|PXAT|1\nEXEC", want: []string{"+OK", "+QUEUED", "*1"}},
		{sends: "RENAME|loose|keep", want: []string{"+OK"}},
		{sends: "COPY|loose|keep|REPLACE", want: []string{":1"}},
		{sends: "COPY|loose|keep|DB|1|REPLACE", want: []string{":1"}},
		{sends: "COPY|loose|keep|REPLACE|DB|1", want: []string{":1"}},
		{sends: "MOVE|keep|9", want: []string{"-ERR"}},
		{sends: "MOVE|keep|15", want: []string{"-ERR"}},
		{sends: "MULTI\nMOVE|keep2|9\nEXEC"},
		{sends: "SELECT|1\nCOPY|keep|keep|DB|0|REPLACE", want: []string{"+OK", ":1"}},
		{sends: "MULTI\nDEL|keep\nEXPIRE|keep2|-1\nEXEC",
			want: []string{"+OK", "+QUEUED", "+QUEUED", "*2"}},
		{sends: "MULTI\nSELECT|1\nDEL|keep\nEXEC",
			want: []string{"+OK", "+QUEUED", "+QUEUED", "*2"}},
		{sends: "HELLO|3\nGETDEL|keep", want: []string{"%", "$1"}},
		{sends: "CLIENT|REPLY|OFF\nDEL|keep"},
		{sends: "DEL|" + strings.Repeat("none|", 20000) + "keep", want: []string{":1"}},
		{sends: "MIGRATE|127.0.0.1|1|keep|0|100", want: []string{"-DENIED"}},
		{sends: "KEYS|*", want: []string{"*9"}},
	}}
	w.run(t)
}

// What ends the data set as a whole, under the built-in rule.
func TestWaysToEndItAll(t *testing.T) {
	t.Parallel()
	w := ways{change: func(o *proxy.Options) { o.Rules = policy.DefaultRules() }}
	for _, line := range []string{
		"FLUSHALL", "FLUSHDB", "SWAPDB|0|1", "DEBUG|FLUSHALL", "debug|flushall",
		"DEBUG|RELOAD|NOSAVE|NOFLUSH|MERGE",
		"DEBUG|RELOAD|NOSAVE", "DEBUG|LOADAOF", "DEBUG|SLEEP|10", "DEBUG|SEGFAULT", "DEBUG|RESTART",
		"DEBUG|SET-ACTIVE-EXPIRE|0", "DEBUG|POPULATE|1000", "DEBUG", "DEBUG|NO-SUCH-THING",
		"REPLICAOF|127.0.0.1|1", "SLAVEOF|127.0.0.1|1", "replicaof|no|one", "FAILOVER",
		"FAILOVER|ABORT",
		"SHUTDOWN", "SHUTDOWN|NOSAVE|NOW|FORCE", "SHUTDOWN|ABORT", "CLUSTER|RESET|HARD",
		"CLUSTER|FLUSHSLOTS", "CLUSTER|FORGET|x", "CLUSTER|MEET|127.0.0.1|1",
		"MODULE|LOAD|/tmp/x.so", "MODULE|LOADEX|/tmp/x.so", "MODULE|UNLOAD|x",
		"SYNC", "PSYNC|?|-1", "REPLCONF|listening-port|1", "RESTORE-ASKING|keep|0|x|REPLACE",
		"PFDEBUG|GETREG|keep", "PFSELFTEST", "FUNCTION|FLUSH", "FUNCTION|RESTORE|x|FLUSH",
		"ACL|SETUSER|default|+flushall", "ACL|DELUSER|x", "ACL|LOAD",
	} {
		w.rows = append(w.rows, way{sends: line, want: []string{"-DENIED"}},
			way{sends: "MULTI\n" + line + "\nEXEC", want: []string{"+OK", "-DENIED", "-EXECABORT"}})
	}
	w.rows = append(w.rows,
		way{sends: "CONFIG|SET|maxmemory|1|maxmemory-policy|allkeys-random", want: []string{"-DENIED"}},
		way{sends: "config|set|maxmemory-policy|allkeys-lru|MAXMEMORY|1", want: []string{"-DENIED"}},
		way{sends: ">CONFIG SET notify-keyspace-events KEA MaxMemory 1", want: []string{"-DENIED"}},
		way{sends: "CONFIG|SET|notify-keyspace-events|KEA", want: []string{"+OK"}},
	)
	w.run(t)
}
