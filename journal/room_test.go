package journal

import (
	"strings"
	"testing"
)

func TestRoom(t *testing.T) {
	const gib = 1 << 30
	for name, row := range map[string]struct {
		Room
		want   string
		noBase bool
	}{
		"room for all":           {Room: Room{Free: 85 * gib, Dataset: gib, Keep: 64 * gib}},
		"no limit":               {Room: Room{Free: 15 * gib, Dataset: gib}},
		"most is there already":  {Room: Room{Free: 15 * gib, Held: 60 * gib, Dataset: gib, Keep: 64 * gib}},
		"retention is too large": {Room: Room{Free: 15 * gib, Dataset: gib, Keep: 64 * gib}, want: "has room for 15 GiB"},
		"a base does not fit": {Room: Room{Free: 5 * gib, Dataset: 6 * gib, Keep: 64 * gib},
			want: "no base may fit", noBase: true},
		"beyond disk.stop": {Room: Room{Free: -gib, Dataset: 1, Keep: 1}, want: "has 0 B until disk.stop", noBase: true},
		"two bases":        {Room: Room{Free: 85 * gib, Dataset: 3 * gib, Keep: 5 * gib}, want: "two bases of up to 3 GiB"},
		"large values": {Room: Room{Free: gib, Buffer: 256 << 20, Largest: 512 << 20},
			want: "is 256 MiB, and limits.max_bulk lets values of 512 MiB pass"},
		"no limit of the buffer": {Room: Room{Free: gib, Largest: 512 << 20}},
	} {
		got := row.Findings()
		if row.want == "" && len(got) > 0 || row.want != "" && (len(got) != 1 ||
			!strings.Contains(got[0].Text, row.want) || got[0].NoBase != row.noBase) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
