package policy

import "testing"

func TestReaches(t *testing.T) {
	p := mustNew(t, Options{})
	for _, row := range []struct {
		request []string
		want    string
	}{
		{[]string{"EVAL", "redis.call('select', 15)", "0"}, "select"},
		{[]string{"EVAL", "redis.call('SELECT', '15')", "0"}, "select"},
		{[]string{"EVAL", "redis.call('select', 3)", "0"}, ""},
		{[]string{"EVAL", "redis.call('select', ARGV[1])", "0", "15"}, "select"},
		{[]string{"EVAL", "redis.call('select', ARGV[1])", "0", "3"}, ""},
		{[]string{"EVAL", "redis.call('select', ARGV[1] + 1)", "0", "14"}, "select"},
		{[]string{"EVAL", "redis.call('select', unpack(ARGV))", "0", "15"}, "select"},
		{[]string{"EVAL", "redis.call('move', KEYS[1], 9)", "1", "k"}, ""},
		{[]string{"EVAL", "redis.call('move', KEYS[1], 15)", "1", "k"}, "move"},
		{[]string{"EVAL", "redis.call('swapdb', 15, 0)", "0"}, "swapdb"},
		{[]string{"EVAL", "redis.call('swapdb', 0, 15)", "0"}, "swapdb"},
		{[]string{"EVAL", "redis.call('copy', KEYS[1], 'x')", "1", "k"}, ""},
		{[]string{"EVAL", "redis.call('copy', KEYS[1], 'x', 'REPLACE')", "1", "k"}, ""},
		{[]string{"EVAL", "redis.call('copy', KEYS[1], 'x', 'REPLACE', 'DB', 15)", "1", "k"}, "copy"},
		{[]string{"EVAL", "redis.call('copy', KEYS[1], 'x', 'db', 3, 'db', 15)", "1", "k"}, "copy"},
		{[]string{"EVAL", "redis.call('copy', KEYS[1], 'x', ARGV[1] .. '', 15)", "1", "k", "db"}, "copy"},
		{[]string{"SCRIPT", "LOAD", "redis.call('select', ARGV[1])"}, ""},
		{[]string{"SCRIPT", "LOAD", "redis.call('select', 15)"}, "select"},
		{[]string{"EVAL", "return redis.call('get', 'select 15')", "0"}, ""},
	} {
		args := make([][]byte, len(row.request))
		for i, a := range row.request {
			args[i] = []byte(a)
		}
		cmd := p.Table().Lookup(args)
		req := &Request{Cmd: cmd, Args: args, Script: Scan(cmd.Code(args))}
		if call, may := p.Reaches(req, []int{8, 15}); call != row.want || may != (row.want != "") {
			t.Errorf("%q: %q, %v, want %q", row.request, call, may, row.want)
		}
	}
}
