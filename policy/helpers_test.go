package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// split makes a request of a line: words at spaces, with "" for an empty one and \0 for a NUL.
func split(line string) [][]byte {
	var args [][]byte
	for _, word := range strings.Fields(line) {
		if word == `""` {
			word = ""
		}
		args = append(args, []byte(strings.ReplaceAll(word, `\0`, "\x00")))
	}
	return args
}

// parseRules reads rules as these tests write them, one a line:
//
//	NAME: ACTION PATTERN ... [except PATTERN ...] [observe|enforce] [FIELD=VALUE[,VALUE...] ...]
//
// The fields are users, addr, names, listeners, dbs, keys, over, scripts, keep and
// limit=RATE[,BURST[,PER]].
func parseRules(t testing.TB, text string) []RuleSpec {
	t.Helper()
	var rules []RuleSpec
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		words := strings.Fields(rest)
		if !ok || len(words) == 0 {
			t.Fatalf("rule %q", line)
		}
		r := RuleSpec{Name: name, Action: words[0]}
		list := &r.Commands
		for _, word := range words[1:] {
			field, value, isField := strings.Cut(word, "=")
			switch {
			case isField:
				setField(t, &r, field, strings.Split(value, ","))
			case word == "except":
				list = &r.Except
			case word == "observe", word == "enforce":
				r.Enforcement = word
			default:
				*list = append(*list, word)
			}
		}
		rules = append(rules, r)
	}
	return rules
}

func setField(t testing.TB, r *RuleSpec, field string, values []string) {
	t.Helper()
	switch field {
	case "users":
		r.Users = values
	case "addr":
		r.Addresses = values
	case "names":
		r.ClientNames = values
	case "listeners":
		r.Listeners = values
	case "keys":
		r.Keys = values
	case "args":
		r.Arguments = values
	case "scripts":
		r.Scripts = values[0]
	case "dbs":
		for _, v := range values {
			r.Databases = append(r.Databases, number(t, v))
		}
	case "over":
		r.KeysOver = number(t, values[0])
	case "keep":
		d, err := time.ParseDuration(values[0])
		if err != nil {
			t.Fatal(err)
		}
		r.Keep = d
	case "limit":
		r.Limit = &LimitSpec{Rate: values[0]}
		if len(values) > 1 {
			r.Limit.Burst = number(t, values[1])
		}
		if len(values) > 2 {
			r.Limit.Per = values[2]
		}
	default:
		t.Fatalf("field %q", field)
	}
}

func number(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// testNow is the time of requests in these tests, in ms.
const testNow = 1_700_000_000_000

// parseRequest reads a request as these tests write it: the words of split, after any number of
//
//	user=U addr=A name=N listener=L db=N code=clear|opaque|unseen nobody notime
//
// The client is user default on an address of its own where nothing else is said.
func parseRequest(t testing.TB, p *Policy, line string) *Request {
	t.Helper()
	id := Identity{User: "default", Addr: netip.MustParseAddr("192.0.2.1"), Session: 1}
	req := &Request{Client: new(Client), Now: testNow}
	for {
		word, rest, _ := strings.Cut(line, " ")
		field, value, isField := strings.Cut(word, "=")
		switch {
		case word == "nobody":
			req.Client = nil
		case word == "notime":
			req.Now = 0
		case !isField || strings.ContainsAny(field, `|"\`):
			req.Args = split(line)
			req.Cmd = p.Table().Lookup(req.Args)
			if req.Client != nil {
				req.Client.SetIdentity(id)
			}
			return req
		case field == "user":
			id.User = value
		case field == "addr" && value == "unix":
			id.Addr = netip.Addr{}
		case field == "addr":
			id.Addr = netip.MustParseAddr(value)
		case field == "name":
			id.Name = value
		case field == "listener":
			id.Listener = value
		case field == "db":
			req.DB = number(t, value)
		case field == "code" && value != "unseen":
			req.Script = &Script{Opaque: value == "opaque"}
		}
		line = rest
	}
}

// runVerdicts checks rows of "request -> verdict".
func runVerdicts(t *testing.T, p *Policy, rows []string) {
	t.Helper()
	for _, row := range rows {
		line, want, _ := strings.Cut(row, " -> ")
		if got := show(p.Decide(parseRequest(t, p, line))); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func mustNew(t testing.TB, o Options) *Policy {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
