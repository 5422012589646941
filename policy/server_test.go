package policy

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
)

// serverTable builds a table from a real server, by RESP2 and by RESP3, which must agree.
func serverTable(t *testing.T, srv *proxytest.Server) *Table {
	t.Helper()
	table := tableOver(t, srv, 3)
	if other := tableOver(t, srv, 2); !reflect.DeepEqual(plain(table), plain(other)) {
		t.Error("RESP2 and RESP3 give different tables")
	}
	return table
}

func tableOver(t *testing.T, srv *proxytest.Server, protocol int) *Table {
	t.Helper()
	network, address := srv.NetAddr()
	client := redis.NewClient(&redis.Options{Network: network, Addr: address,
		Protocol: protocol, DisableIdentity: true, MaxRetries: -1})
	defer client.Close()
	reply, err := client.Do(context.Background(), "COMMAND").Result()
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewTable(reply)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// plain is a table's description of each command, in a form that can be compared and read.
func plain(t *Table) map[string]string {
	m := make(map[string]string)
	for _, c := range t.All() {
		m[c.Name] = fmt.Sprintf("arity %d, flags %s, categories %s, group %s, keys %+v",
			c.Arity, c.Flags, t.CategoryNames(c.Categories), c.Group, c.KeySpecs)
	}
	return m
}

// TestServerTable compares the built-in table with the server whose release it was made from,
// command by command, and with other servers by what rules and keys rest on.
func TestServerTable(t *testing.T) {
	release := regexp.MustCompile(`Valkey (\d+\.\d+\.\d+)`).FindStringSubmatch(builtinText)[1]
	compared := false
	check := func(t *testing.T, srv *proxytest.Server) {
		table := serverTable(t, srv)
		own, theirs := plain(Builtin()), plain(table)
		if strings.HasPrefix(srv.Binary.Kind, "valkey") && srv.Binary.Version == release {
			compared = true
			for name := range own {
				if own[name] != theirs[name] {
					t.Errorf("%s\nhere:   %s\nserver: %s", name, own[name], theirs[name])
				}
			}
			if len(own) != len(theirs) {
				t.Errorf("%d commands here, %d there", len(own), len(theirs))
			}
		}
		for _, name := range []string{"get", "flushall", "config|set", "eval", "sort"} {
			if theirs[name] == "" {
				t.Errorf("no %s", name)
			}
		}
		if !table.ByName("publish").Flags.Has(FlagMayReplicate) {
			t.Error("hidden flags are not inherited")
		}
		mustNew(t, Options{Table: table, Rules: DefaultRules()})
	}
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) { check(t, proxytest.Spec{Kind: bin.Kind}.Start(t)) })
	}
	if !compared && !testing.Short() {
		t.Errorf("no server is Valkey %s, of which the built-in table was made", release)
	}
}

// samples are requests whose keys the server is asked for. Arguments that are keys differ, so
// that comparing names compares positions.
var samples = strings.Split(strings.TrimSpace(`
APPEND k v
BITCOUNT k 0 1
BITFIELD k GET u8 0 GET u8 8
BITFIELD k OVERFLOW SAT INCRBY u8 0 1
BITFIELD_RO k GET u8 0
BITOP AND d a b c
BITPOS k 1
BLMOVE a b LEFT RIGHT 0
BLMPOP 0 2 a b LEFT
BLPOP a b c 0
BRPOPLPUSH a b 0
BZMPOP 0 1 z MAX COUNT 3
BZPOPMIN a b 0
COPY a b DB 1 REPLACE
DECRBY k 1
DEL a b c
DUMP k
EVAL s 2 a b c d
EVAL s 0
EVALSHA x 1 a b
EVALSHA_RO x 1 a b
EVAL_RO s 1 a
EXISTS a b
EXPIRE k 1 NX
FCALL f 2 a b c
FCALL_RO f 0 c
GEOADD k 0 0 m
GEODIST k a b
GEORADIUS k 0 0 1 m
GEORADIUS k 0 0 1 m COUNT 1 ASC STORE d
GEORADIUS k 0 0 1 m STOREDIST d
GEORADIUSBYMEMBER k m 1 km WITHDIST
GEORADIUSBYMEMBER k m 1 km STORE d
GEORADIUSBYMEMBER_RO k m 1 km
GEOSEARCH k FROMMEMBER m BYRADIUS 1 m
GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m
GET k
GETDEL k
GETEX k EX 1
GETRANGE k 0 1
GETSET k v
HSET k f v
HMGET k f g
HRANDFIELD k 1
HSCAN k 0
INCRBYFLOAT k 1
LCS a b
LINSERT k BEFORE x y
LMOVE a b LEFT LEFT
LMPOP 3 a b c RIGHT
LPOS k v
LPUSH k a b
MEMORY USAGE k SAMPLES 1
MGET a b c
MIGRATE h 1 k 0 100
MIGRATE h 1 "" 0 100 KEYS a b c
MIGRATE h 1 "" 0 100 COPY REPLACE AUTH pw KEYS a b
MIGRATE h 1 "" 0 100 AUTH2 keys keys KEYS a b
MOVE k 1
MSET a 1 b 2
MSETNX a 1 b 2
OBJECT ENCODING k
OBJECT FREQ k
PERSIST k
PFADD k a
PFCOUNT a b
PFDEBUG ENCODING k
PFMERGE d a b
RENAME a b
RENAMENX a b
RESTORE k 0 x REPLACE
RESTORE-ASKING k 0 x
RPOPLPUSH a b
SADD k a
SDIFFSTORE d a b
SET k v
SET k v GET
SET k v EX 1 NX get
SETEX k 1 v
SETRANGE k 0 v
SINTERCARD 2 a b LIMIT 1
SINTER a b
SMOVE a b m
SORT k
SORT k BY w LIMIT 0 1 GET p DESC ALPHA STORE d
SORT k STORE a STORE b
SORT_RO k BY w
SPOP k 1
SSCAN k 0
STRLEN k
SUBSTR k 0 1
SUNIONSTORE d a b
TOUCH a b
TYPE k
UNLINK a b
WATCH a b
XACK k g 1
XADD k * f v
XAUTOCLAIM k g c 0 0
XCLAIM k g c 0 1-1
XGROUP CREATE k g $
XINFO STREAM k
XLEN k
XREAD COUNT 1 BLOCK 1 STREAMS a b 0 0
XREAD STREAMS a 0
XREADGROUP GROUP g c COUNT 1 NOACK STREAMS a b > >
XREADGROUP GROUP streams c STREAMS a >
XSETID k 1-1
XTRIM k MAXLEN 1
ZADD k 1 a
ZDIFF 2 a b
ZDIFFSTORE d 2 a b
ZINTER 2 a b WEIGHTS 1 2
ZINTERCARD 2 a b
ZINTERSTORE d 2 a b
ZMPOP 2 a b MIN
ZRANGE z 0 1
ZRANGESTORE d s 0 1
ZUNION 1 a
ZUNIONSTORE d 3 a b c AGGREGATE MAX
ZUNIONSTORE d x a b c
ZUNIONSTORE d 9 a b c
SORT k LIMIT 0 STORE d
XREAD STREAMS a b 0
`), "\n")

// TestServerKeys compares with COMMAND GETKEYSANDFLAGS: the samples, and every command that has
// keys with arguments made up, of each number from its least.
func TestServerKeys(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		table := serverTable(t, srv)
		requests := make([][][]byte, 0, 2000)
		for _, line := range samples {
			requests = append(requests, split(line))
		}
		for _, cmd := range table.All()[1:] {
			if len(cmd.KeySpecs) > 0 && !cmd.IsContainer() {
				requests = append(requests, madeUp(cmd)...)
			}
		}
		answers, compared := askKeys(t, srv, requests), 0
		for i, args := range requests {
			cmd := table.Lookup(args)
			got, complete := cmd.Keys(args, nil)
			if answers[i] == refused {
				continue // the server finds no keys or wants other arguments
			}
			compared++
			if text := nameKeys(args, got); text != answers[i] && complete {
				t.Errorf("%q\nhere:   %s\nserver: %s", args, text, answers[i])
			} else if !complete && !holdsAll(text, answers[i]) {
				t.Errorf("%q: incomplete, and the server finds more\nhere:   %s\nserver: %s",
					args, text, answers[i])
			}
		}
		t.Logf("%d of %d requests compared", compared, len(requests))
		if compared < len(samples) {
			t.Errorf("the server answered only %d", compared)
		}
	})
}

// madeUp returns requests of a command with 1, 2, ... for arguments, which also fit where a number
// of keys stands, from the least number of words to five more.
func madeUp(cmd *Command) (requests [][][]byte) {
	least, most := cmd.Arity, cmd.Arity
	if cmd.Arity < 0 {
		least, most = -cmd.Arity, -cmd.Arity+5
	}
	for n := least; n <= most; n++ {
		args := split(strings.Replace(cmd.Name, "|", " ", 1))
		for len(args) < n {
			args = append(args, fmt.Append(nil, len(args)))
		}
		requests = append(requests, args)
	}
	return requests
}

const refused = "refused"

// askKeys asks the server for the keys of each request.
func askKeys(t *testing.T, srv *proxytest.Server, requests [][][]byte) []string {
	t.Helper()
	ctx, pipe := context.Background(), srv.Client().Pipeline()
	replies := make([]*redis.Cmd, len(requests))
	for i, args := range requests {
		words := []any{"COMMAND", "GETKEYSANDFLAGS"}
		for _, arg := range args {
			words = append(words, arg)
		}
		replies[i] = pipe.Do(ctx, words...)
	}
	pipe.Exec(ctx) // errors of single commands are looked at below
	answers := make([]string, len(requests))
	for i, reply := range replies {
		keys, err := reply.Slice()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "ERR ") {
				t.Fatal(err)
			}
			answers[i] = refused
			continue
		}
		var words []string
		for _, item := range keys {
			key := item.([]any)
			flags, _ := asStrings(key[1])
			words = append(words, fmt.Sprintf("%v:%s", key[0], strings.Join(flags, ",")))
		}
		answers[i] = strings.Join(words, " ")
	}
	return answers
}

func nameKeys(args [][]byte, keys []Key) string {
	var words []string
	for _, k := range keys {
		words = append(words, fmt.Sprintf("%s:%s", args[k.Pos], k.Flags))
	}
	return strings.Join(words, " ")
}

// holdsAll reports whether every key of want is in got, whatever the flags.
func holdsAll(got, want string) bool {
	names := func(text string) (list []string) {
		for _, word := range strings.Fields(text) {
			name, _, _ := strings.Cut(word, ":")
			list = append(list, name)
		}
		return list
	}
	have := names(got)
	for _, name := range names(want) {
		if !slices.Contains(have, name) {
			return false
		}
	}
	return true
}

// TestServerKeysWhereGetKeysErrs has the requests for which COMMAND GETKEYS names other keys than
// the command uses. Keys must have named the keys that the command used.
func TestServerKeysWhereGetKeysErrs(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		table := serverTable(t, srv)
		for _, line := range []string{
			"GEORADIUS geo 0 0 9 km STORE a STORE b",
			"GEORADIUS geo 0 0 9 km STORE storedist STOREDIST b",
			"SORT list STORE get STORE b",
			`SORT list STORE\0x b`,
		} {
			srv.MustDo("FLUSHALL")
			srv.MustDo("GEOADD", "geo", 0, 0, "m")
			srv.MustDo("RPUSH", "list", 1, 2)
			args := split(line)
			words := make([]any, len(args))
			for i := range args {
				words[i] = args[i]
			}
			srv.MustDo(words...)
			keys, complete := table.Lookup(args).Keys(args, nil)
			if len(keys) != 2 || !complete || string(args[keys[1].Pos]) != "b" {
				t.Errorf("%q: keys %s", args, showKeys(keys, complete))
			}
			if n := srv.MustDo("DBSIZE"); n != int64(3) {
				t.Errorf("%q wrote other keys: %v keys", args, n)
			}
			if n := srv.MustDo("EXISTS", "b"); n != int64(1) {
				t.Errorf("%q did not write b", args)
			}
		}
		srv.MustDo("FLUSHALL")
		srv.MustDo("XGROUP", "CREATE", "k", "g", "0", "MKSTREAM")
		srv.MustDo("XADD", "k", "1-1", "f", "v")
		line := "XREADGROUP COUNT 1 GROUP g STREAMS STREAMS k >"
		args := split(line)
		reply := srv.MustDo("XREADGROUP", "COUNT", 1, "GROUP", "g", "STREAMS", "STREAMS", "k", ">")
		keys, complete := table.Lookup(args).Keys(args, nil)
		if got := showKeys(keys, complete); got != "7:RO,access" || reply == nil {
			t.Errorf("%s: keys %s, reply %v", line, got, reply)
		}
	})
}

// TestServerTakesOddNames sends names that a server may or may not take for a command: whatever
// it carries out, a rule must have covered.
func TestServerTakesOddNames(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		p := mustNew(t, Options{Table: serverTable(t, srv),
			Rules: parseRules(t, "r: deny echo config|get")})
		requests := [][]any{{"CONFIG", "GET", "port"}, {"CONFIG|GET", "get", "port"},
			{"CONFIG|GET\x00x", "get", "port"}, {"config|", "get", "port"}}
		for i := range 4000 {
			requests = append(requests, []any{fmt.Sprintf("ECHO\x00%d", i), "hi"},
				[]any{"CONFIG", fmt.Sprintf("GET\x00%d", i), "port"})
		}
		ctx, pipe := context.Background(), srv.Client().Pipeline()
		for _, words := range requests {
			pipe.Do(ctx, words...)
		}
		replies, _ := pipe.Exec(ctx)
		carriedOut := 0
		for i, reply := range replies {
			if reply.Err() != nil {
				continue
			}
			carriedOut++
			var args [][]byte
			for _, word := range requests[i] {
				args = append(args, []byte(word.(string)))
			}
			v := p.Decide(&Request{Cmd: p.Table().Lookup(args), Args: args})
			if v.Action != Deny {
				t.Errorf("the server carries out %q", args)
			}
		}
		t.Logf("%d of %d carried out", carriedOut, len(requests))
		if carriedOut == 0 {
			t.Error("not even CONFIG GET was carried out")
		}
	})
}
