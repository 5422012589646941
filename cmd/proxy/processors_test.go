package main

import (
	"runtime"
	"testing"
)

func TestWantedProcessors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		have, workers int
		journal       bool
		set           string
		want          int
	}{
		{2, 1, true, "", 3},
		{1, 1, true, "", 3},
		{2, 2, true, "", 4},
		{8, 1, true, "", 8},
		{2, 1, false, "", 2},
		{2, 2, false, "", 2},
		{2, 1, true, "2", 2}, // the operator has decided
	} {
		if got := wantedProcessors(row.have, row.workers, row.journal, row.set); got != row.want {
			t.Errorf("%+v: got %d", row, got)
		}
	}
}

func TestMoreProcessors(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	restore := moreProcessors(1, true)
	if n := runtime.GOMAXPROCS(0); n != 3 {
		t.Errorf("%d beside a journal", n)
	}
	restore()
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d behind it", n)
	}
	moreProcessors(1, false)
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d without one", n)
	}
}
