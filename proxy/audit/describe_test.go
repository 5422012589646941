package audit

import (
	"strings"
	"testing"

	"holdfast/policy"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 100)
	for _, row := range []struct{ args, want string }{
		{"SET|card:1|4111 1111", "set card:1 …"},
		{"mset|a|1|b|2", "mset a … b …"},
		{"DEL|" + strings.Repeat("k|", 12) + "k", "del" + strings.Repeat(" k", 10) + " (+3 keys)"},
		{"DEL|" + long, "del " + long[:64] + "…"},
		{"GET|a b\r\n\x00é", `get "a b\r\n\x00é"`},
		{"GET|\xff", `get "\xff"`},
		{"FLUSHALL|async", "flushall async"},
		{"SWAPDB|0|1", "swapdb 0 1"},
		{"AUTH|s3cret", "auth …"},
		{"AUTH|me|s3cret", "auth …"},
		{"HELLO|3|AUTH|me|s3cret", "hello …"},
		{"CONFIG|SET|requirepass|s3cret|maxmemory|1gb", "config set requirepass … maxmemory 1gb"},
		{"CONFIG|SET|masterauth|s3cret", "config set masterauth …"},
		{"CONFIG|GET|*", "config get *"},
		{"ACL|SETUSER|bob|>s3cret|on", "acl setuser bob …"},
		{"MODULE|LOAD|/x.so|s3cret", "module load /x.so …"},
		{"MIGRATE|h|1|k|0|10|AUTH2|me|s3cret", "migrate … k …"},
		{"EVAL|return 'my secret'|1|k|s3cret",
			"eval sha1:9c878df5522882b2498bdef694bcecdaab1c0da9 … k …"},
		{"PUBLISH|ch|s3cret", "publish …"},
		{"KEYS|user:*", "keys user:*"},
		{"NOSUCH|s3cret", "NOSUCH …"},
		{"CONFIG", "config"},
		{"CONFIG|nosuch|s3cret", "config …"},
	} {
		var args [][]byte
		for _, a := range strings.Split(row.args, "|") {
			args = append(args, []byte(a))
		}
		got := Describe(policy.Builtin().Lookup(args), args)
		if got != row.want {
			t.Errorf("%s: got %s, want %s", row.args, got, row.want)
		}
	}
}
