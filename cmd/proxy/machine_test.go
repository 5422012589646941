package main

import (
	"errors"
	"math"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestLeastOf(t *testing.T) {
	t.Parallel()
	none := func() (uint64, error) { return 7, errors.New("no limit") }
	for _, tc := range []struct {
		name    string
		sources []memlimit.Provider
		want    int64
	}{
		{"nothing is known", nil, 0},
		{"no limit", []memlimit.Provider{none, memlimit.Limit(0)}, 0},
		{"the least counts", []memlimit.Provider{memlimit.Limit(9), memlimit.Limit(5), none, memlimit.Limit(8)}, 5},
		{"more than a number holds", []memlimit.Provider{memlimit.Limit(math.MaxUint64), memlimit.Limit(3)}, 3},
	} {
		if got := leastOf(tc.sources...); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	if got := memoryLimit(5); got != 5 {
		t.Errorf("a configured limit became %d", got)
	}
	if got := memoryLimit(0); got < 1<<20 {
		t.Errorf("half of the machine is %d bytes", got)
	}
}
