package trash

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

func newMove(t testing.TB, line string) *Move {
	p := compile(t, trashRule)
	args := words(line)
	return &Move{Plan: newPlan(t, trashRule), Cmd: p.Table().Lookup(args), Args: args, Name: strings.ToLower(string(args[0])),
		Rule: p.Rules()[0], Scope: "0", Client: Client{User: "alice", Mark: "m-1"}, Session: 255}
}

func words(line string) (args [][]byte) {
	for word := range strings.FieldsSeq(line) {
		args = append(args, []byte(word))
	}
	return args
}

// The script of a Move has the client's command in it, and the reply that is asked for.
func TestMoveCommands(t *testing.T) {
	t.Parallel()
	m := newMove(t, "DEL a b")
	got := m.Apart()
	if got[1] != scriptKeys || got[3] != m.Plan.config || got[4] != "0" || got[6] != "3600000" || got[8] != "id" {
		t.Errorf("%.300q", got)
	}
	if rest := strings.Join(got[9:], "|"); rest != "2 3|del|a|b" {
		t.Errorf("%q", rest)
	}
	if !strings.Contains(got[5], `"user":"alice"`) || !strings.Contains(got[5], `"mark":"m-1"`) || !strings.HasPrefix(got[7], "holdfast:trash:ff:") {
		t.Errorf("%q, %q", got[5], got[7])
	}
	if got := m.InPlace(); got[8] != "ok" {
		t.Errorf("in place: %q", got[8])
	}
	if m := newMove(t, "RESTORE k 0 x REPLACE"); m.Apart()[1] != scriptValues {
		t.Error("a command with a value runs where the memory is full")
	}
	if m := newMove(t, "FLUSHALL"); m.Apart()[1] != scriptFlush || !strings.Contains(m.Apart()[8], "PURGE") {
		t.Errorf("%.300q", m.Apart())
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"FLUSHALL": "all", "FLUSHALL async": "all", "FLUSHALL x": "syntax", "FLUSHDB": "3", "FLUSHDB sync": "3",
		"FLUSHDB a b": "syntax", "DEL k": "3", "DEL k j": "3",
	} {
		args := words(line)
		cmd := policy.Builtin().Lookup(args)
		if got := Scope(cmd, args, 3); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
		if got := Scope(cmd, args, -1); want == "3" && got != "current" {
			t.Errorf("%s of an unknown database: %q", line, got)
		}
	}
}

func TestDestroys(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	for line, want := range map[string]bool{
		"FLUSHDB": true, "DEL k": true, "DEL": false, "RENAME a b": true, "COPY a b": false, "COPY a b REPLACE": true,
		"RESTORE k 0 x": false, "RESTORE k 0 x REPLACE": true, "EXPIRE k -1": true, "EXPIRE k 9": false, "GETDEL k": true,
		"SET k v PXAT 1": true, "SET k v": false,
	} {
		args := words(line)
		if got := Destroys(policy.Builtin().Lookup(args), args, now); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

// A client gets the server's words where they are about its command, and a refusal that names the
// rule where they are about the script.
func TestReadAndReply(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ command, reply, want string }{
		{"DEL a b", "*2\r\n:7\r\n:2\r\n", ":2\r\n"},
		{"GETDEL k", "*2\r\n:0\r\n$-1\r\n", "_\r\n"},
		{"GETDEL k", "*2\r\n:7\r\n$1\r\nv\r\n", "$1\r\nv\r\n"},
		{"RENAME a b", "*2\r\n:7\r\n+OK\r\n", "+OK\r\n"},
		{"FLUSHALL", "*2\r\n:7\r\n:1000\r\n", "+OK\r\n"},
		{"RENAME a b", "-ERR no such key\r\n", "ERR no such key"},
		{"RENAME a b", "-ERR unknown, script: x\r\n", textFailed("rename", "r", "ERR unknown, script: x")},
		{"FLUSHALL", "-ERR syntax error\r\n", "ERR syntax error"},
		{"FLUSHALL", "-ERR no such key\r\n", textFailed("flushall", "r", "ERR no such key")},
		{"FLUSHALL", "-READONLY x\r\n", "READONLY x"},
		{"DEL a", "-NOPERM x\r\n", textFailed("del", "r", "NOPERM x")},
		{"FLUSHALL", "-DENIED full\r\n", "DENIED full"},
		{"FLUSHALL", "+OK\r\n", textFailed("flushall", "r", "no id")},
		{"FLUSHALL", "", textFailed("flushall", "r", "no id")},
	} {
		m := newMove(t, tt.command)
		moved, got := m.Read([]byte(tt.reply))
		if got == "" {
			got = string(m.Reply(&moved, 3))
		}
		if got != tt.want {
			t.Errorf("%s, %q: %q, want %q", tt.command, tt.reply, got, tt.want)
		}
	}
}

// A plan says why there is no trash.
func TestPlans(t *testing.T) {
	t.Parallel()
	p, none := compile(t, trashRule), compile(t)
	server := func(databases int) *upstream.Info { return &upstream.Info{Generation: 1, Databases: databases} }
	for name, tt := range map[string]struct {
		s     Settings
		p     *policy.Policy
		info  *upstream.Info
		want  string // of Lacking, or the hidden databases
		never bool
	}{
		"half":      {Settings{}, p, server(5), "[3 4]", false},
		"no rule":   {Settings{}, none, server(5), "no rule has the action trash", false},
		"unseen":    {Settings{}, p, &upstream.Info{}, errUnknown.Error(), false},
		"cluster":   {Settings{}, p, &upstream.Info{Generation: 1, Cluster: true}, errCluster.Error(), true},
		"unknown":   {Settings{}, p, server(0), errCount.Error(), true},
		"too few":   {Settings{}, p, server(2), "needs two of its own", true},
		"not there": {Settings{Databases: []int{3, 9}}, p, server(9), "cannot be reserved", true},
	} {
		plan := NewPlan(tt.s, nil, tt.p, tt.info)
		got := ""
		if err := plan.Lacking(); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(plan.Hidden)
		}
		if !strings.Contains(got, tt.want) || plan.Definitive() != tt.never {
			t.Errorf("%s: %q, definitive %v", name, got, plan.Definitive())
		}
	}
}

// Clients do not see reserved databases.
func TestHidden(t *testing.T) {
	t.Parallel()
	plan := newPlan(t, trashRule)
	for line, want := range map[string]string{
		"select 14": "select 1400000", "select 3": "", "swapdb 3 15": "swapdb 3 1500000", "move k 14": "move k 1400000",
		"copy a b DB 15 REPLACE": "copy a b DB 1500000 REPLACE", "copy db 15": "", "select 09": "", "get 14": "",
	} {
		args := words(line)
		got := ""
		for i, a := range plan.Mask(string(args[0]), args) {
			got += strings.Repeat(" ", min(i, 1)) + string(a)
		}
		if got != want || line != strings.Join(asStrings(args), " ") {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	const out = "-ERR DB index is out of range"
	if got := string(plan.OutOfRange(words("select 1400000"), []byte(out+"\r\n"))); got != out+": the proxy reserves database 14 for the trash\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(plan.OutOfRange(words("select 99"), []byte(out+"\r\n"))); got != out+"\r\n" {
		t.Errorf("%q", got)
	}
	text := "# Keyspace\r\ndb0:keys=1\r\ndb14:keys=9\r\ndb15_distrib_strings_sizes:1=5\r\ndb3:keys=2\r\n"
	if got := string(plan.HideKeyspace([]byte(text))); got != "# Keyspace\r\ndb0:keys=1\r\ndb3:keys=2\r\n" {
		t.Errorf("%q", got)
	}
	for message, want := range map[string]string{
		">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nk\r\n$15\r\nholdfast:trash:\r\n": ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
		">2\r\n$10\r\ninvalidate\r\n*1\r\n$15\r\nholdfast:trash:\r\n":            "",
		"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$9\r\nholdfast:\r\n":                  "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$9\r\nholdfast:\r\n",
	} {
		if got := string(plan.HideInvalidated([]byte(message))); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

func asStrings(args [][]byte) (out []string) {
	for _, a := range args {
		out = append(out, string(a))
	}
	return out
}
