package proxytest

import "testing"

func TestKindOf(t *testing.T) {
	for _, row := range []struct{ program, version, want string }{
		{"valkey-server", "7.2.5", "valkey"},
		{"valkey-server", "8.0.1", "valkey"},
		{"redis-server", "6.2.14", ""},
		{"redis-server", "7.0.15", "redis7"},
		{"redis-server", "8.0.2", "redis"},
		{"redis-server", "10.0.0", "redis"},
		{"redis-server", "unknown", ""},
	} {
		if got := kindOf(row.program, row.version); got != row.want {
			t.Errorf("%s %s: got %q, want %q", row.program, row.version, got, row.want)
		}
	}
}

func TestFindByKindAndByPath(t *testing.T) {
	for _, b := range Matrix(t) {
		if got := Find(t, b.Kind); got != b {
			t.Errorf("by kind: got %v, want %v", got, b)
		}
		got := Find(t, b.Path)
		if got.Kind != "custom" || got.Version != b.Version || got.Path != b.Path {
			t.Errorf("by path: got %+v, want version and path of %+v", got, b)
		}
	}
}
