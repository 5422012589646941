package main

import "runtime"

// heapFloor is how much of the heap is set aside and never touched: it takes addresses and no
// memory.
const heapFloor = 16 << 20

// holdHeap sets it aside until release is called. The garbage collector runs whenever the heap has
// doubled. The proxy's own is a few MiB, since the data path allocates nothing, so that whatever
// else allocates (refusals, the console, dials) had it run ten times a second, each time for some
// milliseconds beside the loops and with two stops of them. With the floor it runs a tenth as often,
// for 16 MiB of resident memory at most. GOGC, which is a factor, would multiply large heaps, too.
func holdHeap() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(&floor[0]) }
}
