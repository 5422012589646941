package resp

import "testing"

func TestEqualFold(t *testing.T) {
	for _, tt := range []struct {
		b, lower string
		want     bool
	}{
		{"", "", true}, {"get", "get", true}, {"GeT", "get", true}, {"GET", "gets", false},
		{"[", "{", false}, {"@", "`", false}, {"\xc9", "\xe9", false}, {"K", "k", true},
		{"\u212a", "k", false}, {"get\x00", "get", true}, {"get\x00x", "get", true},
		{"ge\x00", "get", false}, {"\x00get", "get", false}, {"\x00", "", true},
		{"config|get", "config|get", true},
	} {
		if got := EqualFold([]byte(tt.b), tt.lower); got != tt.want {
			t.Errorf("%q and %q: got %v", tt.b, tt.lower, got)
		}
	}
	b := []byte("CONFIG")
	if got := testing.AllocsPerRun(100, func() { EqualFold(b, "config") }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
