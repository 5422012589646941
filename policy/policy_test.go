package policy

import (
	"errors"
	"strings"
	"testing"
)

// show writes a verdict as these tests do: "deny flush", "allow", "deny(observed) flush",
// "deny admin shadow=flush".
func show(v Verdict) string {
	s := v.Action.String()
	if v.Observed {
		s += "(observed)"
	}
	if v.Rule != nil {
		s += " " + v.Rule.Name
	}
	if v.Shadow != nil {
		s += " shadow=" + v.Shadow.Name
	}
	return s
}

// verdicts is the table test: rules as text in, verdicts out.
var verdicts = []struct {
	name        string
	enforcement string
	rules       string
	want        []string // "request -> verdict"
}{
	{name: "no rules", want: []string{"FLUSHALL -> allow", "NOSUCH -> allow"}},
	{
		name:  "a command, in any case and form",
		rules: "flush: deny FlushAll flushdb",
		want: []string{
			"FLUSHALL -> deny flush", "flushall -> deny flush", "fLuShAlL ASYNC -> deny flush",
			"FLUSHDB SYNC -> deny flush", `FLUSHALL\0 -> deny flush`,
			`FLUSHALL\0x -> deny flush`, "GET k -> allow", "FLUSH -> allow",
			"FLUSHALLS -> allow", "FLUSHALL|x -> allow",
		},
	},
	{
		name:  "a subcommand",
		rules: "conf: deny config|set",
		want: []string{
			"CONFIG SET a b -> deny conf", "config set -> deny conf",
			`CONFIG SET\0x a b -> deny conf`, `CONFIG\0y SET a b -> deny conf`,
			"CONFIG GET a -> allow", "CONFIG -> allow", "CONFIG NOSUCH -> allow",
			"CONFIG|SET set a b -> deny conf", `Config|Set\0x -> deny conf`,
			"CONFIG|GET get a -> allow",
		},
	},
	{
		name:  "a container covers all of its subcommands and unknown ones",
		rules: "conf: deny config",
		want: []string{
			"CONFIG SET a b -> deny conf", "CONFIG GET a -> deny conf", "CONFIG -> deny conf",
			"CONFIG NOSUCH -> deny conf", `CONFIG "" -> deny conf`,
			"CONFIG|GET get a -> deny conf", "CLIENT ID -> allow",
		},
	},
	{
		name:  "a container less one subcommand",
		rules: "conf: deny config except config|get",
		want: []string{
			"CONFIG SET a b -> deny conf", "CONFIG GET a -> allow", "CONFIG NEW -> deny conf",
		},
	},
	{
		name:  "two names for one thing",
		rules: "a: allow slaveof\nb: deny replicaof sync\nc: trash restore except restore-asking",
		want: []string{
			"REPLICAOF h 1 -> deny b", "SLAVEOF h 1 -> allow a", "PSYNC ? -1 -> deny b",
			"RESTORE k 0 x -> trash c", "RESTORE-ASKING k 0 x -> allow",
		},
	},
	{
		name:  "the other way round",
		rules: "a: deny slaveof psync restore-asking",
		want: []string{
			"REPLICAOF h 1 -> deny a", "SYNC -> deny a", "RESTORE k 0 x -> allow",
		},
	},
	{
		name:  "a category",
		rules: "danger: deny @Dangerous",
		want: []string{
			"FLUSHALL -> deny danger", "KEYS * -> deny danger", "CONFIG SET a b -> deny danger",
			"CLIENT KILL x -> deny danger", "CLIENT ID -> allow", "GET k -> allow",
			"SORT k -> deny danger", "NOSUCH -> allow",
		},
	},
	{
		name:  "a category reaches what its containers do not know",
		rules: "danger: deny @dangerous",
		want: []string{
			"CONFIG NOSUCH -> deny danger", "CLIENT -> deny danger", "XGROUP NOSUCH -> allow",
		},
	},
	{
		name:  "a category that allows does not reach there",
		rules: "some: allow @dangerous\nrest: deny *",
		want: []string{
			"CONFIG SET a b -> allow some", "CONFIG NOSUCH -> deny rest", "GET k -> deny rest",
		},
	},
	{
		name:  "except by category and by command",
		rules: "danger: deny @dangerous except @keyspace info config|get",
		want: []string{
			"KEYS * -> allow", "INFO -> allow", "CONFIG GET a -> allow",
			"CONFIG SET a b -> deny danger", "SHUTDOWN -> deny danger",
		},
	},
	{
		name:  "everything, unknown commands too",
		rules: "all: deny * except get config",
		want: []string{
			"GET k -> allow", "SET k v -> deny all", "NOSUCH -> deny all",
			`"" -> deny all`, "CONFIG SET a b -> allow", "CONFIG NOSUCH -> allow",
		},
	},
	{
		name:  "unknown commands may be spared by nothing but *",
		rules: "all: deny * except *",
		want:  []string{"NOSUCH -> allow", "GET k -> allow"},
	},
	{
		name:  "the first match decides",
		rules: "a: allow flushall\nb: deny @dangerous\nc: allow @dangerous",
		want:  []string{"FLUSHALL -> allow a", "FLUSHDB -> deny b", "GET k -> allow"},
	},
	{
		name:        "observe everywhere",
		enforcement: "observe",
		rules:       "a: deny flushall\nb: deny flushdb enforce",
		want:        []string{"FLUSHALL -> deny(observed) a", "FLUSHDB -> deny b", "GET k -> allow"},
	},
	{
		name:  "an observed rule does not open what is below it",
		rules: "a: allow flushall observe\nb: deny @dangerous\nc: deny get observe",
		want: []string{
			"FLUSHALL -> deny b shadow=a", "FLUSHDB -> deny b", "GET k -> deny(observed) c",
		},
	},
	{
		name:  "two observed rules: the first is reported",
		rules: "a: deny flushall observe\nb: allow flushall observe",
		want:  []string{"FLUSHALL -> deny(observed) a"},
	},
	{
		name:  "names of modules and of other versions may be absent",
		rules: "a: deny ft.dropindex flushall json.del",
		want:  []string{"FT.DROPINDEX i -> allow", "FLUSHALL -> deny a"},
	},
}

func TestVerdicts(t *testing.T) {
	for _, tt := range verdicts {
		t.Run(tt.name, func(t *testing.T) {
			p := mustNew(t, Options{Rules: parseRules(t, tt.rules), Enforcement: tt.enforcement})
			runVerdicts(t, p, tt.want)
		})
	}
}

func TestDefaultRules(t *testing.T) {
	p := mustNew(t, Options{Rules: DefaultRules()})
	if len(p.Unresolved()) > 0 {
		t.Errorf("the built-in table lacks %v", p.Unresolved())
	}
	denied := []string{
		"FLUSHALL", "flushdb ASYNC", "SwapDB 0 1", "SHUTDOWN NOSAVE", "DEBUG SEGFAULT",
		"DEBUG FLUSHALL", "REPLICAOF h 1", "SLAVEOF NO ONE", "FAILOVER", "SYNC", "PSYNC ? -1",
		"REPLCONF ACK 1", "RESTORE-ASKING k 0 x", "MODULE LOAD x", "module loadex x",
		"MODULE UNLOAD x", "CLUSTER RESET", "CLUSTER FLUSHSLOTS", "CLUSTER FAILOVER FORCE",
		"CLUSTER REPLICATE n", "CLUSTER|RESET reset", "FUNCTION FLUSH", `FLUSHALL\0a`,
	}
	allowed := []string{
		"GET k", "SET k v", "DEL k", "KEYS *", "CONFIG SET notify-keyspace-events Ex",
		"CONFIG GET *", "MULTI", "EXEC", "EVAL s 0", "FUNCTION LOAD x", "SCRIPT FLUSH",
		"MODULE LIST", "CLUSTER INFO", "CLUSTER NOSUCH", "CLIENT KILL x", "MONITOR", "INFO",
		"SAVE", "BGSAVE", "MIGRATE h 1 k 0 1", "RESTORE k 0 x", "NOSUCH",
	}
	for _, line := range denied {
		args := split(line)
		if v := p.Decide(&Request{Cmd: p.Table().Lookup(args), Args: args}); v.Action != Deny {
			t.Errorf("%s is allowed", line)
		}
	}
	for _, line := range allowed {
		args := split(line)
		if v := p.Decide(&Request{Cmd: p.Table().Lookup(args), Args: args}); v.Action != Allow {
			t.Errorf("%s is denied", line)
		}
	}
}

func TestRuleErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []RuleSpec
		want  []string
	}{
		{"a slip", []RuleSpec{{Name: "flush", Action: "deny", Commands: []string{"flushal"}}},
			[]string{`rule "flush": commands: unknown command "flushal": did you mean flushall?`}},
		{"a subcommand", []RuleSpec{{Name: "c", Action: "deny", Commands: []string{"config|sett"}}},
			[]string{`rule "c": commands: "config" has no subcommand "sett": did you mean ` +
				`config|set?`}},
		{"a category", []RuleSpec{{Name: "c", Action: "deny", Except: []string{"@dangerus"},
			Commands: []string{"*"}}},
			[]string{`rule "c": except: unknown category "@dangerus": did you mean @dangerous?`}},
		{"nothing near", []RuleSpec{{Name: "c", Action: "deny", Commands: []string{"frobnicate"}}},
			[]string{`rule "c": commands: unknown command "frobnicate"`}},
		{"wildcards", []RuleSpec{{Name: "c", Action: "deny", Commands: []string{"flush*"}}},
			[]string{`rule "c": commands: "flush*": names have no wildcards; ` +
				`@category and * cover many`}},
		{"too deep", []RuleSpec{{Name: "c", Action: "deny", Commands: []string{"a|b|c"}}},
			[]string{`rule "c": commands: "a|b|c": only one level of subcommands exists`}},
		{"empty words", []RuleSpec{{Name: "c", Action: "deny", Commands: []string{" ", "@"}}},
			[]string{`rule "c": commands: " " is not the name of a command`,
				`rule "c": commands: "@" is not the name of a command`}},
		{"all at once", []RuleSpec{
			{Action: "refuse", Enforcement: "maybe"},
			{Name: "x", Action: "deny", Commands: []string{"get"}},
			{Name: "x", Action: "allow", Commands: []string{"get"}}},
			[]string{`rule #1: name: must not be empty`,
				`rule #1: action: want allow, deny, confirm, trash or rewrite, got "refuse"`,
				`rule #1: enforcement: want enforce or observe, got "maybe"`,
				`rule #1: commands: must not be empty ("*" means every command)`,
				`rule "x": name: rule #2 has the same name`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Rules: tt.rules})
			if want := strings.Join(tt.want, "\n"); err == nil || err.Error() != want {
				t.Errorf("got:\n%v\nwant:\n%v", err, want)
			}
		})
	}
}

func TestRuleErrorSaysWhere(t *testing.T) {
	_, err := New(Options{Rules: []RuleSpec{
		{Name: "a", Action: "deny", Commands: []string{"get"}},
		{Name: "b", Action: "deny", Commands: []string{"get", "gett"}},
	}})
	var e *RuleError
	if !errors.As(err, &e) || e.Index != 1 || e.Field != "commands" || e.Item != 1 {
		t.Errorf("%#v", e)
	}
	if _, err := New(Options{Enforcement: "later"}); err == nil {
		t.Error("enforcement: later is accepted")
	}
}

func TestUnresolved(t *testing.T) {
	small, err := NewTable([]any{[]any{"get", int64(2), []any{"readonly"}, int64(1), int64(1),
		int64(1), []any{"@read"}, []any{}, []any{}, []any{}}})
	if err != nil {
		t.Fatal(err)
	}
	rules := []RuleSpec{{Name: "a", Action: "deny",
		Commands: []string{"FLUSHALL", "config set", "ft.search", "get", "flushall"}}}
	p := mustNew(t, Options{Table: small, Rules: rules})
	if got := strings.Join(p.Unresolved(), " "); got != "config|set flushall ft.search" {
		t.Errorf("unresolved: %s", got)
	}
	rules[0].Commands = []string{"hnew", "@newer"}
	if _, err := New(Options{Table: small, Rules: rules}); err == nil {
		t.Error("unknown names are accepted")
	}
	p = mustNew(t, Options{Table: small, Rules: rules, AllowUnknown: true})
	if got := strings.Join(p.Unresolved(), " "); got != "@newer hnew" {
		t.Errorf("unresolved: %s", got)
	}
}

// TestForeignCommand has a reload change the table between look-up and verdict.
func TestForeignCommand(t *testing.T) {
	other, err := NewTable([]any{
		[]any{"aaa", int64(1), []any{}, int64(0), int64(0), int64(0)},
		[]any{"flushall", int64(-1), []any{}, int64(0), int64(0), int64(0)},
		[]any{"config", int64(-2), []any{}, int64(0), int64(0), int64(0), []any{}, []any{},
			[]any{}, []any{[]any{"config|new", int64(2), []any{}, int64(0), int64(0), int64(0)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := mustNew(t, Options{Rules: parseRules(t, "a: deny flushall config\nb: deny *")})
	for line, want := range map[string]string{
		"FLUSHALL": "deny a", "CONFIG NEW": "deny a", "AAA": "deny b", "NOSUCH": "deny b",
	} {
		args := split(line)
		if got := show(p.Decide(&Request{Cmd: other.Lookup(args), Args: args})); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
	if got := show(p.Decide(&Request{})); got != "deny b" {
		t.Errorf("no command: %s", got)
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	p := mustNew(t, Options{Rules: DefaultRules()})
	requests := [][][]byte{split("GET k"), split("CONFIG SET a b"), split("NOSUCH"),
		split("CLUSTER|RESET x")}
	if n := testing.AllocsPerRun(100, func() {
		for _, args := range requests {
			p.Decide(&Request{Cmd: p.Table().Lookup(args), Args: args})
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRuleString(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, "a: deny @dangerous except info observe")})
	if got := p.Rules()[0].String(); got != "a: deny @dangerous except info (observed only)" {
		t.Error(got)
	}
	if got := Action(9).String(); got != "Action(9)" {
		t.Error(got)
	}
}
