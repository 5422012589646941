package eventloop

// Sizes of the chunks that output is copied into. A session's output starts with a small one, since
// most turns give it a few bytes; links gather the commands of many sessions and start large.
const (
	smallChunk = 4 << 10
	largeChunk = 64 << 10
)

// The sizes of a loop's free lists: about 8 MiB when all are full.
const (
	maxFreeSmall = 1024
	maxFreeLarge = 64
	maxFreeOwned = 1024
)

// chunk is a piece of output: buf[off:] is still to be sent.
type chunk struct {
	next *chunk
	buf  []byte
	off  int
	kind chunkKind
}

type chunkKind uint8

const (
	chunkSmall chunkKind = iota
	chunkLarge
	chunkOwned // the caller's own memory: never appended to, never reused
	chunkKinds
)

// pool is a loop's free lists of chunks, last in, first out, so that reused memory is warm.
type pool struct {
	free [chunkKinds]*chunk
	n    [chunkKinds]int
}

func (p *pool) get(kind chunkKind) *chunk {
	if k := p.free[kind]; k != nil {
		p.free[kind], k.next = k.next, nil
		p.n[kind]--
		return k
	}
	switch kind {
	case chunkSmall:
		return &chunk{kind: kind, buf: make([]byte, 0, smallChunk)}
	case chunkLarge:
		return &chunk{kind: kind, buf: make([]byte, 0, largeChunk)}
	default:
		return &chunk{kind: kind}
	}
}

func (p *pool) put(k *chunk) {
	limit := maxFreeSmall
	switch k.kind {
	case chunkLarge:
		limit = maxFreeLarge
	case chunkOwned:
		limit = maxFreeOwned
		k.buf = nil
	}
	if p.n[k.kind] >= limit {
		return
	}
	k.buf, k.off = k.buf[:0], 0
	k.next, p.free[k.kind] = p.free[k.kind], k
	p.n[k.kind]++
}

// output is the unsent output of a connection, in order. Empty, it holds no memory.
type output struct {
	head, tail *chunk
}

// room returns a chunk at the end of the output that takes at least one more byte.
func (o *output) room(p *pool, large bool) *chunk {
	t := o.tail
	if t != nil && t.kind != chunkOwned && len(t.buf) < cap(t.buf) {
		return t
	}
	kind := chunkSmall
	if large || t != nil {
		kind = chunkLarge
	}
	k := p.get(kind)
	o.push(k)
	return k
}

func (o *output) push(k *chunk) {
	if o.tail == nil {
		o.head, o.tail = k, k
		return
	}
	o.tail.next = k
	o.tail = k
}

// consume drops n sent bytes from the front.
func (o *output) consume(p *pool, n int) {
	for n > 0 {
		k := o.head
		left := len(k.buf) - k.off
		if n < left {
			k.off += n
			return
		}
		n -= left
		o.pop(p)
	}
}

func (o *output) pop(p *pool) {
	k := o.head
	if o.head = k.next; o.head == nil {
		o.tail = nil
	}
	p.put(k)
}

func (o *output) release(p *pool) {
	for o.head != nil {
		o.pop(p)
	}
}
