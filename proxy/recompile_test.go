package proxy

import (
	"log/slog"
	"slices"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// Rules are compiled anew where the server's commands or databases are others, and for no other
// change.
func TestRecompile(t *testing.T) {
	t.Parallel()
	srv, err := New(Options{Logger: slog.New(slog.DiscardHandler), Rules: []policy.RuleSpec{
		{Name: "flush", Commands: []string{"flushall"}, Action: "trash"},
		{Name: "own", Commands: []string{"myget"}, Action: "deny"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.stopDial()
	srv.guard = newGuard(srv)
	commands := func(names ...string) any {
		var reply []any
		for _, name := range names {
			reply = append(reply, []any{name, int64(2), []any{"readonly"}, int64(1), int64(1), int64(1)})
		}
		return reply
	}
	info := &upstream.Info{}
	for _, step := range []struct {
		what   string
		change func(*upstream.Info)
		anew   bool
	}{
		{"the first look", func(i *upstream.Info) {
			*i = upstream.Info{Up: true, Generation: 1, Databases: 16,
				CommandReply: commands("myget", "flushall")}
		}, true},
		{"a replica", func(i *upstream.Info) { i.Replicas = []upstream.Replica{{Addr: "a"}} }, false},
		{"down", func(i *upstream.Info) { i.Up = false }, false},
		{"a memory limit", func(i *upstream.Info) { i.MaxMemory = 1 }, false},
		{"a module", func(i *upstream.Info) {
			i.CommandReply = commands("myget", "flushall", "new")
		}, true},
		{"another server", func(i *upstream.Info) { i.Generation++ }, true},
		{"databases", func(i *upstream.Info) { i.Databases = 4 }, true},
		{"cluster mode", func(i *upstream.Info) { i.Cluster = true }, true},
		{"commands that the rules do not fit", func(i *upstream.Info) {
			i.CommandReply = commands("flushall")
		}, false},
		{"and still", func(i *upstream.Info) { i.Replicas = nil }, false},
		{"a reply that cannot be read", func(i *upstream.Info) { i.CommandReply = []any{"x"} }, false},
		{"the first again", func(i *upstream.Info) {
			i.CommandReply, i.Cluster = commands("myget", "flushall"), false
		}, true},
	} {
		next := *info
		next.Replicas = slices.Clone(info.Replicas)
		step.change(&next)
		info = &next
		before := srv.inForce
		srv.upstreamChanged(srv.up.Load(), info)
		if anew := srv.inForce != before; anew != step.anew {
			t.Errorf("%s: compiled %v, want %v", step.what, anew, step.anew)
		}
		if srv.inForce.trash.Count != info.Databases {
			t.Errorf("%s: rules for %d databases of %d", step.what, srv.inForce.trash.Count, info.Databases)
		}
	}
	if srv.table.ByName("myget") == nil || srv.table.ByName("new") != nil {
		t.Error("not the table of the last reply")
	}
}
