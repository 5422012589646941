package replay

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/journal/stream"
	"holdfast/proxy/proxytest"
)

// Which words of a command are options, and which are keys, members and values that look like them.
func TestOptionsOfCommands(t *testing.T) {
	for line, want := range map[string]string{
		"SET k NX":                         "",
		"SET k v PXAT 12 ifeq GET xx":      "SET IFEQ, SET PXAT, SET XX",
		"MSETEX 2 EX PX NX XX EXAT 7 FNX":  "MSETEX EXAT, MSETEX FNX",
		"EXPIRE GT 100 LT":                 "EXPIRE LT",
		"PEXPIREAT k 100":                  "",
		"HEXPIRE h 100 NX FIELDS 2 XX GT":  "HEXPIRE NX",
		"HSETEX h FNX EX 7 FIELDS 1 PX XX": "HSETEX EX, HSETEX FNX",
		"ZADD NX GT CH inf LT":             "ZADD CH, ZADD GT",
		"ZADD z 1 NX 2 XX":                 "",
		"ZADD z +inf NX":                   "",
		"ZADD z nan NX":                    "",
		"GEOADD g XX 1 2 NX":               "GEOADD XX",
		"XADD MAXLEN NOMKSTREAM KEEPREF MAXLEN = 5 LIMIT 3 1-1 ACKED f": "XADD KEEPREF, XADD LIMIT, " +
			"XADD MAXLEN, XADD NOMKSTREAM",
		"XADD x MINID ~ 5-1 * LIMIT f":                         "XADD MINID",
		"XADD x 7 ACKED f":                                     "",
		"XTRIM x MAXLEN ~ 100 LIMIT 10 DELREF":                 "XTRIM DELREF, XTRIM LIMIT, XTRIM MAXLEN",
		"XDELEX x ACKED IDS 1 KEEPREF":                         "XDELEX ACKED",
		"XCLAIM x g NX 0 1-1 2-2 RETRYCOUNT 5 FORCE LASTID 9":  "XCLAIM FORCE, XCLAIM LASTID, XCLAIM RETRYCOUNT",
		"GEOSEARCHSTORE d s FROMMEMBER NX BYPOLYGON 3 1 2 3 4": "GEOSEARCHSTORE BYPOLYGON, GEOSEARCHSTORE FROMMEMBER",
		"ZUNIONSTORE d 2 NX XX WEIGHTS inf 2 AGGREGATE MAX":    "ZUNIONSTORE AGGREGATE, ZUNIONSTORE MAX, ZUNIONSTORE WEIGHTS",
		"ZUNIONSTORE d nonsense NX":                            "",
		"ZRANGESTORE NX XX GT LT BYLEX LIMIT a b REV":          "ZRANGESTORE BYLEX, ZRANGESTORE LIMIT, ZRANGESTORE REV",
		"SORT k BY NX GET XX LIMIT 0 1 ALPHA STORE REV":        "SORT ALPHA, SORT BY, SORT GET, SORT LIMIT, SORT STORE",
		"BITOP DIFF AND OR":                                    "BITOP AND, BITOP DIFF, BITOP OR",
		"RESTORE REPLACE 0 ABSTTL REPLACE FREQ 7":              "RESTORE FREQ, RESTORE REPLACE",
		"COPY DB REPLACE DB 3 REPLACE":                         "COPY DB, COPY REPLACE",
		"FLUSHALL ASYNC":                                       "FLUSHALL ASYNC",
	} {
		n := &Needs{Commands: make(map[string]int), Options: make(map[string]bool),
			seen: make(map[string]*seenCommand)}
		c := &stream.Command{}
		for _, word := range strings.Fields(line) {
			c.Args = append(c.Args, []byte(word))
		}
		n.note(c)
		n.note(c) // known options are not read again
		n.fold()
		if got := strings.Join(sortedKeys(n.Options), ", "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestOptionsOfVersions: where servers differ in the options of a write, there is a rule for it.
func TestOptionsOfVersions(t *testing.T) {
	t.Parallel()
	options := map[string][]string{} // of a command, by server
	for _, b := range proxytest.Matrix(t) {
		srv := proxytest.Spec{Kind: b.Kind}.Start(t)
		list, _ := srv.MustDo("COMMAND", "LIST", "FILTERBY", "ACLCAT", "write").([]any)
		for _, name := range list {
			docs, _ := srv.MustDo("COMMAND", "DOCS", name).([]any)
			var all []string
			tokens(docs, func(token string) { all = append(all, token) })
			slices.Sort(all)
			key := strings.ToUpper(fmt.Sprint(name))
			options[key] = append(options[key], strings.Join(slices.Compact(all), " "))
		}
		srv.Stop()
	}
	if len(options) < 100 {
		t.Fatalf("%d commands", len(options))
	}
	for name, all := range options {
		if slices.Sort(all); all[0] != all[len(all)-1] && optionsOf[name] == nil {
			t.Errorf("%s has %q here and %q there, and no rule says where they stand", name, all[0], all[len(all)-1])
		}
	}
}
