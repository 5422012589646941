package main

import "runtime"

// heapFloor is the size of a block of heap that is never touched: it takes addresses and no memory.
const heapFloor = 16 << 20

// holdHeap allocates the block until release is called. The garbage collector runs whenever the
// heap has doubled. The proxy's own heap is a few MiB, since the data path allocates nothing, so
// that all other allocations (refusals, the console, dials) made it run ten times a second, each
// time for some milliseconds in parallel with the loops and with two stops of them. With the floor
// it runs a tenth as often, for 16 MiB of resident memory at most. GOGC, which is a factor, would
// multiply large heaps, too.
func holdHeap() (release func()) {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(&floor[0]) }
}
