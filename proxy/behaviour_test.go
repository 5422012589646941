package proxy

import (
	"context"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// Each command of each server is known, data by its shape, or reviewed: none goes by a shared link
// for lack of a review.
func TestEveryCommandIsClassified(t *testing.T) {
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			for _, c := range tableOf(t, b.Kind).All() {
				got := behaviourOf(c)
				_, named := behaviours[c.Name]
				known := named || reviewed[c.Name] || isData(c) || c.Name == "" || c.IsContainer() ||
					c.Flags.Has(policy.FlagModule) || c.Flags.Has(policy.FlagBlocking) ||
					c.Parent != nil && c.Parent.Name == "debug"
				if !known {
					t.Errorf("%s (%v) is not reviewed: it goes by a link of the session's own",
						c.Name, c.Flags)
				}
				if c.Flags.Has(policy.FlagBlocking) && got != blocking && got != maybeBlocking &&
					got != waitAcks {
					t.Errorf("%s may block, and is taken for %d", c.Name, got)
				}
				if got == plain && !reviewed[c.Name] && (c.Flags.Has(policy.FlagNoScript) ||
					c.Categories.Has(policy.CatConnection)) {
					t.Errorf("%s goes by a shared link", c.Name)
				}
			}
		})
	}
}

// tableOf is the command table of a fresh server.
func tableOf(t *testing.T, kind string) *policy.Table {
	t.Helper()
	srv := proxytest.Spec{Kind: kind}.Start(t)
	up := upstream.New(upstream.Options{Address: srv.Addr})
	defer up.Stop()
	reply, err := up.Do(context.Background(), "COMMAND")
	if err != nil {
		t.Fatal(err)
	}
	table, err := policy.NewTable(reply)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// What changes the meaning of later commands of its connection goes by a link of the session's own.
func TestCommandsThatLeaveState(t *testing.T) {
	for _, name := range []string{
		"asking", "readonly", "readwrite", "client|caching", "client|capa",
		"client|import-source", "client|no-evict", "client|no-touch", "cluster|syncslots",
	} {
		if got := behaviours[name]; got != stateful {
			t.Errorf("%s is taken for %d", name, got)
		}
	}
	for name, want := range map[string]behaviour{
		"script|debug": scriptDebug, "client|reply": clientReply, "client|tracking": clientTracking,
		"cluster|setslot": blocking, "replconf": replconf,
	} {
		if got := behaviours[name]; got != want {
			t.Errorf("%s is taken for %d", name, got)
		}
	}
}

// Commands of servers to come are judged by what the server says of them.
func TestShapeOfNewCommands(t *testing.T) {
	words := func(list ...string) []any {
		out := []any{}
		for _, w := range list {
			out = append(out, w)
		}
		return out
	}
	key := []any{[]any{"flags", words("RW", "update"),
		"begin_search", []any{"type", "index", "spec", []any{"index", int64(1)}},
		"find_keys", []any{"type", "range",
			"spec", []any{"lastkey", int64(0), "keystep", int64(1), "limit", int64(0)}}}}
	command := func(name string, flags, cats, specs, subs []any) []any {
		return []any{name, int64(-2), flags, int64(0), int64(0), int64(0), cats, []any{}, specs, subs}
	}
	none := []any{}
	table, err := policy.NewTable([]any{
		command("himport", none, words("@hash", "@slow"), none, []any{
			command("himport|prepare", words("fast"), words("@hash", "@fast"), none, none),
			command("himport|discardall", words("fast", "noscript"), words("@connection"), none, none),
			command("himport|set", words("write", "denyoom"), words("@write", "@hash"), key, none),
		}),
		command("newdata", words("write"), words("@write", "@string"), key, none),
		command("newstate", words("readonly", "fast"), words("@connection", "@fast"), key, none),
		command("newwait", words("write", "blocking"), words("@write", "@blocking"), key, none),
		command("mod.get", words("readonly", "module"), words("@read"), key, none),
		command("mod.wait", words("readonly", "module", "noscript"), words("@read"), key, none),
		command("mod.pop", words("write", "module", "blocking"), words("@write"), key, none),
		command("mod.login", words("module"), words("@connection"), none, none),
		command("client", none, words("@slow"), none, []any{
			command("client|new", words("noscript"), words("@connection"), none, none)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]behaviour{
		"": stateful, "himport": stateful, "himport|prepare": stateful,
		"himport|discardall": stateful, "himport|set": plain, "newdata": plain,
		"newstate": stateful, "newwait": blocking, "mod.get": script, "mod.wait": blocking,
		"mod.pop": blocking, "mod.login": stateful, "client": stateful, "client|new": stateful,
	} {
		c := table.Unknown()
		if name != "" {
			if c = table.ByName(name); c == nil {
				t.Fatalf("%s is not in the table", name)
			}
		}
		if got := behaviourOf(c); got != want {
			t.Errorf("%q is taken for %d, want %d", name, got, want)
		}
	}
}
