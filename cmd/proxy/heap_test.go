package main

import (
	"runtime"
	"testing"
)

// The floor counts for the collector until it is released.
func TestHoldHeap(t *testing.T) {
	next := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	before := next()
	release := holdHeap()
	during := next()
	release()
	if after := next(); during < before+heapFloor || after > during-heapFloor {
		t.Errorf("the next collection is at %d bytes before, %d during, %d after", before, during,
			after)
	}
}
