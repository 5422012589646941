package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/resp"
)

func TestOutageText(t *testing.T) {
	for want, o := range map[string]Outage{
		"no connection for 2s: refused; next attempt in 120ms; 3 commands wait, for 4s at most": {
			For: 2 * time.Second, Why: "refused", Next: 120 * time.Millisecond, Held: 3, Left: 4 * time.Second},
		"no connection for 1h00m: refused; next attempt with the next command": {For: time.Hour, Why: "refused"},
	} {
		if got := outageText(&o); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestShow(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{}))
	for command, want := range map[string]string{
		"SHOW SESSIONS": `
ID  ADDRESS          USER      NAME  RESP  DB  AGE    IDLE  STATE         LINK  LAST        COMMANDS  WAITING  IN       OUT
1   127.0.0.1:50001  default   web   3     0   1h30m  3s    -             -     get         123456    0        0B       0B
27  127.0.0.1:50002  bob?[31m  -     2     15  2d01h  0s    multi paused  7     config|set  9         3        20.0KiB  3.00MiB
2 sessions
`,
		"show sessions match default limit 5": `
ID  ADDRESS          USER     NAME  RESP  DB  AGE    IDLE  STATE  LINK  LAST  COMMANDS  WAITING  IN  OUT
1   127.0.0.1:50001  default  web   3     0   1h30m  3s    -      -     get   123456    0        0B  0B
1 session
`,
		"SHOW SESSIONS LIMIT 1": `
ID  ADDRESS          USER     NAME  RESP  DB  AGE    IDLE  STATE  LINK  LAST  COMMANDS  WAITING  IN  OUT
1   127.0.0.1:50001  default  web   3     0   1h30m  3s    -      -     get   123456    0        0B  0B
1 of 2 sessions; LIMIT 0 shows all
`,
		"SHOW SESSIONS MATCH nobody": `
0 sessions
`,
		"SHOW LINKS": `
ID  KIND    STATE  USER     RESP  DB  LOCAL            SERVER-ID  AGE    IDLE  SESSIONS  SESSION  COMMANDS  WAITING  QUEUED
3   shared  ready  default  3     0   127.0.0.1:41000  42         1h00m  0s    20        -        1000      4        512B
7   pinned  busy   bob      2     15  -                -          0s     0s    1         27       0         0        0B
2 links
`,
		"SHOW RULES": `
RULE     ACTION  ENFORCEMENT  DONE  ALLOWED  DENIED  THROTTLED  OBSERVED  COMMANDS
default  deny    enforce      0     0        3       2          0         flushall flushdb config|rewrite
admin    deny    observe      0     0        0       0          12        @dangerous except info keys
`,
		"SHOW ROUTES": `
ROUTE  DEMAND               TIMEOUT  ON-TIMEOUT  IF-UNAVAILABLE  HELD  CONFIRMED  UNCONFIRMED  LATE  PASSED  REJECTED  P50    P99   AVAILABLE
pay    journal, replicas 1  500ms    error       reject          3     1000       2            1     0       7         1.5ms  20ms  NO: 0 of 1 replicas are online
log    aof local            1s       close       pass            0     0          0            0     4       0         0s     0s    yes
`,
		"SHOW GATE": `
KIND        IN-FLIGHT  WAITING  OLDEST  FENCES  FAILED  PROVEN  PER-FENCE  P50    P99  UNAVAILABLE  AVAILABLE
aof local   0          0        0s      2       0       2       1.0        0s     0s   0s           no route asks for just this now
journal     2          12       1.2ms   100     4       480     5.0        800µs  2ms  0s           yes
replicas 1  0          0        0s      0       0       0       0.0        0s     0s   1m15s        NO: 0 of 1 replicas are online
`,
		"SHOW BUDGETS": `
BUDGET  WHO       DELETED  OF    WINDOW  OPENS-IN  TRIPS
all     -         0        1000  1m00s   -         0
each    bob?[31m  0        10    1h00m   1m30s     2
each    eve       7        10    1h00m   -         0
`,
		"RESET BUDGET each bob": `
OK: 3 had been used up
`,
		"SHOW PENDING": `
TOKEN      STATE     AGE    LEFT   ASKED  USER      ADDRESS          NAME  DB  RULE   COMMAND
abcd-2345  waiting   1m00s  9m00s  3      bob?[31m  127.0.0.1:50002  -     2   flush  flushall
wxyz-6789  approved  0s     5m00s  1      default   127.0.0.1:50001  web   0   flush  del a "b c"
`,
		"APPROVE abcd-2345": `
OK: user bob?[31m may send this once within five minutes: flushall
`,
		"SHOW TRASH": `
ID  WHEN                  USER  ADDRESS         NAME  COMMAND                                          DBS  KEYS     UNTIL                 RULE
4   2024-05-01T12:30:00Z  app   10.0.0.9:41000  job   FLUSHALL                                         0 3  1000000  2024-05-02T12:30:00Z  flush
5   2024-05-01T12:30:00Z  app   10.0.0.9:41000  -     flushdb?[2J (merging)                            1    7        2024-05-01T13:30:00Z  flush
-   -                     -     -               -     (not from the trash: never used, never emptied)  9    2        -                     -
hidden from clients: databases 8 9 10 for flushed data, 1 of 3 free; database 11 for the ledger and single keys
`,
		"SHOW TRASH LIMIT 1": `
ID  WHEN                  USER  ADDRESS         NAME  COMMAND                                          DBS  KEYS     UNTIL                 RULE
4   2024-05-01T12:30:00Z  app   10.0.0.9:41000  job   FLUSHALL                                         0 3  1000000  2024-05-02T12:30:00Z  flush
5   2024-05-01T12:30:00Z  app   10.0.0.9:41000  -     flushdb?[2J (merging)                            1    7        2024-05-01T13:30:00Z  flush
-   -                     -     -               -     (not from the trash: never used, never emptied)  9    2        -                     -
3 of 412 entries; LIMIT 0 shows all
hidden from clients: databases 8 9 10 for flushed data, 0 of 3 free; database 11 for the ledger and single keys
FULL: flushes are denied until there is room: the next entry is emptied at 2024-05-02T12:30:00Z; UNDO or PURGE makes room now
`,
		"SHOW JOURNAL": `
folder      /var/lib/holdfast/journal, state ok
server      127.0.0.1:6379, streaming for 1h00m, the present can be restored
position    timeline 2, offset 9000 durable, 9100 received (100 behind)
last byte   3s ago
log         3 segments, 150MiB; 2 bases, 1.00GiB
restorable  since 2026-11-22T19:00:00Z
fsyncs      1000, mean 150µs, last 120µs, slowest 20ms; 5.00GiB of stream in 1000 batches
rate        1.00MiB/s; the server's backlog is 600MiB, 10m00s at the highest rate seen
disk        42.5 % taken, 100GiB free; full in 10d00h at this rate
missing     1 gaps
incidents   1 lost tails, 0 histories replaced
so far      3 attempts to attach, 1 continued, 2 full resyncs; 4 bases taken, 1 failed
`,
		"SHOW TIMELINES": `
TIMELINE  REPLICATION-ID                            FROM  TO    PARENT  FORK  OPENED                LAST                  WHY
1         8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb  100   5000  -       -     2026-11-22T19:00:00Z  2026-11-22T20:00:00Z  first
2         ae30b4fb1155b71f4a04d3e1bc3e18c4a990aeeb  4000  9000  1       4000  2026-11-22T19:00:00Z  -                     the primary lost a tail
`,
		"SHOW INCIDENTS": `
INCIDENT  TIMELINE  STATE                    FROM  TO    COMMANDS  KEYS  FIRST                 LAST                  NOTICED               WHY                              RUN
1         1         lost, open, routes wait  4000  5000  17 to 20  5     2026-11-22T19:00:00Z  2026-11-22T19:00:01Z  2026-11-22T19:01:00Z  the history does not contain it  proxy repair --config j.yaml --incident 1
`,
		"SHOW EVENTS": `
EVENT  TIMELINE  FIRST                 LAST                  WHAT             BEFORE       AFTER    RUN
3      2         2026-11-22T19:00:00Z  2026-11-22T19:00:01Z  100000 FLUSHALL  db0 1005000  no keys  proxy restore --dir j --event 3 --target ADDRESS
`,
		"SHOW CONFIG": `
KEY                VALUE           FROM
upstream.address   127.0.0.1:6379  default
upstream.password  (redacted)      file
workers            1               default
`,
		"SHOW UPSTREAM": `
upstream   127.0.0.1:6379, valkey 8.0.1 master, up for 1h00m
sentinels  2 of 3 name the same server as mymaster; their quorum is 2
doubt      sentinel 10.0.0.7:26379 leads a failover of it
REPLICA        STATE   OFFSET  LAG
10.0.0.6:6379  online  4200    1s
SENTINEL        VOTE  NAMES           EPOCH  STATE
10.0.0.7:26379  yes   127.0.0.1:6379  3      answers; leads a failover of it
10.0.0.8:26379  yes   127.0.0.1:6379  3      answers; not in the configuration
10.0.0.9:26379  yes   -               0      silent: no answer in time
MOVED                 FROM           TO              PAUSED  HELD  FED  VOTES   FIRST SIGN
2023-11-14T22:13:20Z  10.0.0.6:6379  127.0.0.1:6379  1.2s    12    0    3 of 3  10.0.0.6:6379 says that it is a replica
`,
		"SHOW STATS": `
holdfast         version 0.1.0, pid 4711, up 26h00m
workers          2, epoll
state            ready
upstream         127.0.0.1:6379, valkey 8.0.1 master, up for 1h00m
sessions         2 now (0 paused), 100 accepted
links            0 shared, 0 pinned (0 busy, 0 idle), 0 connecting, 0 broken so far
commands         5000000 (0 errors, 3 denied, 0 answered here, 0 -UPSTREAM), 0 waiting
observed         0 would have been denied
protocol errors  0
client bytes     5.00GiB in, 1234B out, 0B buffered
upstream bytes   0B in, 0B out, 0B buffered
CLASS     COMMANDS  MEAN    P50   P99     P99.9
read      4000000   81.2µs  75µs  1.23ms  12ms
blocking  10        3s      1s    59s     59.9s
`,
	} {
		if got := "\n" + c.text(command); got != want {
			t.Errorf("%s:\n got %s\nwant %s", command, got, want)
		}
	}
}

func TestShowNothing(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{empty: true}))
	for command, want := range map[string]string{
		"SHOW SESSIONS": "0 sessions\n",
		"SHOW LINKS":    "0 links\n",
		"SHOW RULES":    "no rules: every command passes\n",
		"SHOW ROUTES":   "no routes: a write is acknowledged when the server has executed it\n",
		"SHOW GATE":     "no fences: no route asks for a proof\n",
		"SHOW BUDGETS":  "no delete budgets\n",
		"SHOW PENDING":  "nothing waits for approval\n",

		"SHOW TIMELINES": "no timelines: the journal never met its server\n",
		"SHOW INCIDENTS": "no incidents\n",
		"SHOW EVENTS":    "no events: nothing was flushed or swapped, or deleted in numbers\n",
	} {
		if got := c.text(command); got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
	got := c.text("SHOW STATS")
	for _, want := range []string{
		"state            not ready: upstream: connection refused\n",
		"127.0.0.1:6379, not seen yet, DOWN for 0s: connection refused\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("SHOW STATS has no %q:\n%s", want, got)
		}
	}
}

// In RESP3 what people read is one verbatim string of the same lines.
func TestShowInRESP3(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{})
	old, c := dial(t, s), dial(t, s)
	c.do("HELLO 3")
	for _, command := range []string{"SHOW RULES", "SHOW STATS", "HELP"} {
		v, _, err := resp.Parse([]byte(c.do(command)))
		if err != nil || v.Type != '=' {
			t.Fatalf("%s: type %c, %v", command, v.Type, err)
		}
		text := strings.TrimPrefix(string(v.Str), "txt:") + "\n"
		if want := old.text(command); text != want {
			t.Errorf("%s:\n got %s\nwant %s", command, text, want)
		}
	}
}

func TestJSON(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{}))
	decode := func(command string, into any) {
		t.Helper()
		v, _, err := resp.Parse([]byte(c.do(command)))
		if err == nil {
			err = json.Unmarshal(v.Str, into)
		}
		if err != nil || v.Type != '$' {
			t.Fatalf("%s: type %c, %v", command, v.Type, err)
		}
	}
	var stats Stats
	decode("SHOW STATS JSON", &stats)
	if stats.Upstream.Server != "valkey" || len(stats.Latency) != 2 {
		t.Errorf("stats: %+v", stats)
	}
	var sessions struct {
		Sessions []Session
		Total    int
	}
	decode("SHOW SESSIONS LIMIT 1 --json", &sessions)
	if sessions.Total != 2 || len(sessions.Sessions) != 1 ||
		sessions.Sessions[0].Age != 90*time.Minute {
		t.Errorf("sessions: %+v", sessions)
	}
	var rules []Rule
	decode("show rules json", &rules)
	if len(rules) != 2 || rules[1].Except[1] != "keys" {
		t.Errorf("rules: %+v", rules)
	}
	c = dial(t, start(t, Options{}, &fakeBackend{empty: true}))
	for _, command := range []string{"SHOW JOURNAL", "SNAPSHOT"} {
		c.expect(command, "-ERR "+ErrNoJournal.Error()+"\r\n")
	}
	for _, command := range []string{"SHOW LINKS JSON", "SHOW RULES JSON", "SHOW TIMELINES JSON",
		"SHOW INCIDENTS JSON", "SHOW EVENTS JSON"} {
		c.expect(command, "$2\r\n[]\r\n")
	}
	if got := c.do("SHOW STATS JSON"); strings.Contains(got, "null") {
		t.Errorf("an empty list is null: %s", got)
	}
}

func TestControl(t *testing.T) {
	b := &fakeBackend{}
	c := dial(t, start(t, Options{}, b))
	c.expect(
		"SNAPSHOT", "+base-2.rdb, 5.00MiB, timeline 2, offset 8000\r\n",
		"ACKNOWLEDGE INCIDENTS", "+OK\r\n",
		"REPAIR 1 conflicts SKIP dryrun", "+OK, it runs: SHOW REPAIR\r\n",
		"RELOAD", "+OK\r\n",
		"DRAIN", "+OK\r\n",
		"UNDO 4", "+OK, 12 keys are back\r\n",
		"undo 4 replace", "+OK, 10 keys are back; what was written since is entry 6\r\n",
		"UNDO 4 MERGE", "+OK, 10 keys are back; 2 that were written since stay as they are, "+
			"their old values in entry 4\r\n",
		"UNDO 4 BOTH", "-ERR syntax error. Usage: UNDO id [REPLACE|MERGE]\r\n",
		"UNDO x", "-"+string(errTrashID)+"\r\n",
		"PURGE 4", "+OK\r\n",
		"PURGE 0", "-"+string(errTrashID)+"\r\n",
		"KILL SESSION 27", "+OK\r\n",
		"KILL SESSION 28", "-ERR no session 28\r\n",
		"REJECT wxyz-6789", "+OK\r\n",
		"RESET BUDGET none", "-ERR no budget is called none\r\n",
		"REJECT no", "-ERR nothing waits under the token 'no': see SHOW PENDING\r\n",
		"APPROVE no", "-ERR nothing waits under the token 'no': see SHOW PENDING\r\n",
		"KILL SESSION x", "-"+string(errSessionID)+"\r\n",
		"KILL SESSION 0", "-"+string(errSessionID)+"\r\n",
		"KILL SESSION -1", "-"+string(errSessionID)+"\r\n",
		"KILL SESSION", "-ERR wrong arguments. Usage: KILL SESSION id\r\n",
		"RELOAD now", "-ERR wrong arguments. Usage: RELOAD\r\n",
	)
	b.locked(func() {
		if b.acknowledged != 1 || b.reloads != 1 || b.drains != 1 || !reflect.DeepEqual(b.killed, []uint64{27, 28}) {
			t.Errorf("%d reloads, %d drains, killed %v", b.reloads, b.drains, b.killed)
		}
		if fmt.Sprint(b.undone) != "[4 4REPLACE 4MERGE]" || !reflect.DeepEqual(b.purged, []uint64{4}) {
			t.Errorf("undone %v, purged %v", b.undone, b.purged)
		}
		b.warnings = []string{"listeners"}
	})
	if got := c.text("RELOAD"); got != "OK, but these need a restart:\nlisteners\n" {
		t.Errorf("got %q", got)
	}
	fail := func(err error) { b.locked(func() { b.err = err }) }
	fail(errors.Join(errors.New("f.yaml:3:1: bad"), errors.New("f.yaml:7:2: worse")))
	c.expect("RELOAD", "-ERR f.yaml:3:1: bad; f.yaml:7:2: worse\r\n")
	fail(errors.New("loops are gone"))
	for _, command := range []string{"DRAIN", "KILL SESSION 27", "SHOW STATS", "SHOW SESSIONS",
		"SHOW LINKS", "SHOW RULES", "SHOW CONFIG", "INFO", "SHOW TRASH", "UNDO 4", "PURGE 4",
		"SHOW JOURNAL", "SHOW TIMELINES",
		"SHOW INCIDENTS", "SHOW EVENTS", "SNAPSHOT", "ACKNOWLEDGE INCIDENTS"} {
		c.expect(command, "-ERR loops are gone\r\n")
	}
}

func TestBadRequests(t *testing.T) {
	c := dial(t, start(t, Options{}, &fakeBackend{}))
	unknown := func(what string) string {
		return "-ERR unknown command '" + what + "'. Try HELP (in redis-cli: SHOW HELP)\r\n"
	}
	const usage = ". Usage: SHOW SESSIONS [LIMIT n] [MATCH pattern] [JSON]\r\n"
	c.expect(
		"FLUSHALL", unknown("FLUSHALL"),
		"SHOW NOTHING", unknown("SHOW NOTHING"),
		"KILL 27", unknown("KILL 27"),
		"CLIENT LIST", unknown("CLIENT LIST"),
		"\"a\\x1b[31m\\r\\nb\"", unknown("a?[31m??b"),
		strings.Repeat("x", 100), unknown(strings.Repeat("x", 64)+"…"),
		"SHOW STATS XML", "-ERR syntax error. Usage: SHOW STATS [JSON]\r\n",
		"SHOW STATS JSON JSON", "-ERR wrong arguments. Usage: SHOW STATS [JSON]\r\n",
		"SHOW SESSIONS LIMIT", "-ERR syntax error"+usage,
		"SHOW SESSIONS LIMIT x", "-"+string(errLimit)+"\r\n",
		"SHOW SESSIONS LIMIT -1", "-"+string(errLimit)+"\r\n",
		"SHOW SESSIONS FOO 1", "-ERR syntax error"+usage,
		"SELECT 1", "-"+string(errDB)+"\r\n",
		"PING a b", "-ERR wrong arguments. Usage: PING [message]\r\n",
	)
	c.send("*1\r\n$0\r\n\r\n")
	if got := c.reply(); got != unknown("") {
		t.Errorf("got %q", got)
	}
}

func TestSessionsQuery(t *testing.T) {
	b := &fakeBackend{}
	c := dial(t, start(t, Options{}, b))
	for command, want := range map[string]SessionQuery{
		"SHOW SESSIONS":                      {Limit: defaultLimit},
		"SHOW SESSIONS LIMIT 0":              {},
		"SHOW SESSIONS MATCH a* LIMIT 7":     {Limit: 7, Match: "a*"},
		"SHOW SESSIONS LIMIT 3 MATCH x JSON": {Limit: 3, Match: "x"},
	} {
		c.do(command)
		b.locked(func() {
			if b.query != want {
				t.Errorf("%s: asked for %+v, want %+v", command, b.query, want)
			}
		})
	}
}

func TestWhatClientsSend(t *testing.T) {
	c := dial(t, start(t, Options{Version: "1.2"}, &fakeBackend{}))
	c.expect(
		"PING", "+PONG\r\n",
		"PING hi", "$2\r\nhi\r\n",
		"ECHO hi", "$2\r\nhi\r\n",
		"SELECT 0", "+OK\r\n",
		"CLIENT GETNAME", "$-1\r\n",
		"CLIENT SETNAME web", "+OK\r\n",
		"CLIENT GETNAME", "$3\r\nweb\r\n",
		"CLIENT SETINFO LIB-NAME go-redis", "+OK\r\n",
		"CLIENT ID", ":1\r\n",
		"HELLO", "*14\r\n$6\r\nserver\r\n$8\r\nholdfast\r\n$7\r\nversion\r\n$3\r\n1.2\r\n"+
			"$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"+
			"$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n",
		"HELLO 4", "-NOPROTO unsupported protocol version\r\n",
		"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n",
		"HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n",
		"CLIENT SETINFO LIB-NAME", "-ERR wrong arguments. Usage: CLIENT SETINFO attribute value\r\n",
		"AUTH x", "-"+string(errNoPass)+"\r\n",
		"AUTH default x", "+OK\r\n",
		"AUTH other x", "-"+string(errWrongPass)+"\r\n",
		"COMMAND INFO get", "-ERR unknown command 'COMMAND INFO'. Try HELP (in redis-cli: SHOW HELP)\r\n",
	)
	if got := c.do("HELLO 3 SETNAME x"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO 3: %q", got)
	}
	if got := c.do("INFO"); !strings.HasPrefix(got, "=") || !strings.Contains(
		got, "\r\nupstream_server:valkey\r\n") {
		t.Errorf("INFO: %q", got)
	}
	c.expect("CLIENT GETNAME", "$1\r\nx\r\n")
	c.expect("QUIT", "+OK\r\n")
	if got := c.rest(); got != "" {
		t.Errorf("after QUIT: %q", got)
	}
}

func TestPassword(t *testing.T) {
	s := start(t, Options{Password: "s3cret"}, &fakeBackend{})
	c := dial(t, s)
	noAuth := "-NOAUTH Authentication required.\r\n"
	wrong := "-" + string(errWrongPass) + "\r\n"
	c.expect(
		"PING", noAuth,
		"NONSENSE", noAuth,
		"SHOW", noAuth,
		"COMMAND DOCS", noAuth,
		"HELLO 3", "-"+string(errHelloAuth)+"\r\n",
		"AUTH wrong", wrong,
		"AUTH default wrong", wrong,
		"AUTH admin s3cret", wrong,
		"HELLO 3 AUTH default wrong", wrong,
		"PING", noAuth,
		"AUTH s3cret", "+OK\r\n",
		"PING", "+PONG\r\n",
	)
	c = dial(t, s)
	if got := c.do("HELLO 3 AUTH default s3cret"); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO with AUTH: %q", got)
	}
	// Redis's limits for those who have not authenticated.
	c = dial(t, s)
	c.send("*11\r\n")
	if got := c.rest(); got != "-ERR Protocol error: unauthenticated multibulk length\r\n" {
		t.Errorf("got %q", got)
	}
	if err := s.SetPassword("other"); err != nil {
		t.Fatal(err)
	}
	dial(t, s).expect("AUTH s3cret", wrong, "AUTH other", "+OK\r\n", "QUIT", "+OK\r\n")
	if err := s.SetPassword(""); err != nil {
		t.Fatal(err)
	}
	dial(t, s).expect("PING", "+PONG\r\n")
	far, err := New(Options{Address: "0.0.0.0:0", Password: "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := far.SetPassword(""); !errors.Is(err, ErrNoPassword) {
		t.Errorf("SetPassword: %v, want ErrNoPassword", err)
	}
}

// Every command has what HELP and the docs show of it, and its name fits the lookup.
func TestCommandTable(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands {
		if seen[c.name] || c.name != strings.ToUpper(c.name) || len(strings.Fields(c.name)) > 2 {
			t.Errorf("name %q is used twice or not of the form that lookup wants", c.name)
		}
		seen[c.name] = true
		if c.help == "" || c.run == nil || c.min > c.max || (c.max == 0) != (c.args == "") &&
			c.max != anyArgs {
			t.Errorf("%s: incomplete: %+v", c.name, c)
		}
		if got, words := lookup(strings.Fields(strings.ToLower(c.name) + " x")); got != c ||
			words != len(strings.Fields(c.name)) {
			t.Errorf("%s: lookup finds %+v, %d words", c.name, got, words)
		}
	}
}
