package resp

import "testing"

func TestSpell(t *testing.T) {
	for _, row := range []struct{ name, want string }{
		{"select", "sElEcT"}, {"SELECT", "sElEcT"}, {"get", "gEt"}, {"holdfast.denied", "hOlDfAsT.DeNiEd"},
		{"function", "fUnCtIoN"}, {"host:", "hOsT:"},
	} {
		got := Spell(row.name)
		if got != row.want || !Spelled([]byte(got)) || Spelled([]byte(row.name)) {
			t.Errorf("Spell(%q) = %q, want %q", row.name, got, row.want)
		}
		b := []byte(got)
		if !LooksSpelled(b) {
			t.Errorf("%q does not look spelled", b)
		}
		if Unspell(b); Spelled(b) || LooksSpelled(b) || !EqualFold([]byte(got), string(b)) {
			t.Errorf("Unspell(%q) = %q", got, b)
		}
	}
	for _, name := range []string{"", "g", "G", "Get", "GET", "getRange", "1A", "a1", "\xe9A"} {
		if Spelled([]byte(name)) || LooksSpelled([]byte(name)) {
			t.Errorf("%q is taken for the proxy's own", name)
		}
	}
}
