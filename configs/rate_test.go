package configs

import "testing"

func TestParseRate(t *testing.T) {
	for _, row := range []struct {
		text string
		want Rate
		ok   bool
	}{
		{"20MiB/s", Rate(20 * MiB), true}, {"512kb/s", Rate(512 * KiB), true}, {"0/s", 0, true},
		{"1 MiB /s", Rate(MiB), true}, {"20MiB", 0, false}, {"20", 0, false}, {"/s", 0, false},
		{"20MiB/min", 0, false}, {"20m/s", 0, false}, {"-1/s", 0, false},
	} {
		got, err := ParseRate(row.text)
		if got != row.want || (err == nil) != row.ok {
			t.Errorf("%q: %d, %v; want %d", row.text, got, err, row.want)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q: printed as %q, which is %d, %v", row.text, got, again, err)
		}
	}
}
