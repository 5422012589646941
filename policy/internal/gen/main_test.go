package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes a small source tree and returns its folder.
func tree(t *testing.T, commands map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"COPYING":       "Some License\n\nDo as you like.\n",
		"src/version.h": "#define VALKEY_VERSION \"1.2.3\"\n",
	}
	for name, text := range commands {
		files["src/commands/"+name] = text
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRun(t *testing.T) {
	dir := tree(t, map[string]string{
		"put.json": `{"PUT": {"group": "string", "arity": -3,
			"command_flags": ["WRITE", "FAST", "SENTINEL"], "acl_categories": ["STRING"],
			"key_specs": [{"flags": ["RW", "UPDATE"],
				"begin_search": {"index": {"pos": 1}},
				"find_keys": {"range": {"lastkey": -1, "step": 2, "limit": 0}}}]}}`,
		"pick.json": `{"PICK": {"group": "list", "arity": -3,
			"command_flags": ["READONLY", "BLOCKING"],
			"key_specs": [{"flags": ["RO"], "begin_search": {"keyword":
				{"keyword": "FROM", "startfrom": 1}}, "find_keys": {"keynum":
				{"keynumidx": 0, "firstkey": 1, "step": 1}}},
				{"flags": ["OW"], "begin_search": {"unknown": null},
				"find_keys": {"unknown": null}}]}}`,
		"box.json": `{"BOX": {"group": "server", "arity": -2}}`,
		"box-open.json": `{"OPEN": {"group": "server", "arity": 2, "container": "BOX",
			"command_flags": ["ADMIN", "PUBSUB"]}}`,
		"hide.json":     `{"HIDE": {"group": "sentinel", "arity": 2, "container": "SENTINEL"}}`,
		"sentinel.json": `{"S": {"group": "server", "command_flags": ["ONLY_SENTINEL"]}}`,
	})
	out := filepath.Join(dir, "out.txt")
	if err := run(dir, out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	head, rows, _ := strings.Cut(string(text), "# Do as you like.\n")
	if !strings.Contains(head, "Valkey 1.2.3") || !strings.Contains(head, "# Some License\n#\n") {
		t.Errorf("head:\n%s", head)
	}
	want := "box\t-2\tserver\t-\t@slow\n" +
		"box|open\t2\tserver\tadmin,pubsub\t@admin,@dangerous,@pubsub,@slow\n" +
		"pick\t-3\tlist\treadonly,blocking,movablekeys\t@read,@blocking,@slow\t" +
		"RO; keyword from 1; keynum 0 1 1\tOW; unknown; unknown\n" +
		"put\t-3\tstring\twrite,fast\t@string,@write,@fast\tRW,update; index 1; range -1 2 0\n"
	if rows != want {
		t.Errorf("got:\n%s\nwant:\n%s", rows, want)
	}
}

func TestRunErrors(t *testing.T) {
	if err := run(t.TempDir(), "x"); err == nil {
		t.Error("an empty folder is accepted")
	}
	if err := run(tree(t, nil), "x"); err == nil || !strings.Contains(err.Error(), "no src/comm") {
		t.Errorf("no commands: %v", err)
	}
	dir := tree(t, map[string]string{"bad.json": "{"})
	if err := run(dir, "x"); err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("bad JSON: %v", err)
	}
}

func TestMovableKeys(t *testing.T) {
	spec := func(pos, last, step int, flags ...string) (s keySpec) {
		s.Flags = flags
		s.Begin.Index = &struct {
			Pos int `json:"pos"`
		}{pos}
		s.Find.Range = &struct {
			LastKey int `json:"lastkey"`
			Step    int `json:"step"`
			Limit   int `json:"limit"`
		}{last, step, 0}
		return s
	}
	for name, tt := range map[string]struct {
		specs []keySpec
		want  bool
	}{
		"none":           {nil, false},
		"one with steps": {[]keySpec{spec(1, -1, 2)}, false},
		"incomplete":     {[]keySpec{spec(1, 0, 1, "INCOMPLETE")}, true},
		"side by side":   {[]keySpec{spec(1, 0, 1), spec(2, -1, 1)}, false},
		"apart":          {[]keySpec{spec(1, 0, 1), spec(3, 0, 1)}, true},
		"two, steps":     {[]keySpec{spec(1, 0, 1), spec(2, -1, 2)}, true},
		"unknown":        {[]keySpec{{}}, true},
	} {
		if got := (&command{KeySpecs: tt.specs}).movableKeys(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
