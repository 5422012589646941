package admin

import (
	"context"
	"sync"
	"time"
)

// strangerPace bounds the work that strangers cause, since the console's goroutines share the
// processors with clients' commands. Each new connection, and each command of a client that has not
// logged in, takes a turn. After a pause strangerBurst turns are free, then there is one each
// strangerEvery, at which strangers cost a tenth of a processor. Connections wait for their turn in
// the kernel, unaccepted, in the order of arrival; a command blocks its own connection only.
type strangerPace struct {
	mu   sync.Mutex
	next time.Time // time of the newest turn; at most a burst in the past
}

const (
	strangerEvery = time.Millisecond
	strangerBurst = 50
)

// turn waits for the next turn. The error is of ctx.
func (p *strangerPace) turn(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	if free := now.Add(-strangerBurst * strangerEvery); p.next.Before(free) {
		p.next = free
	}
	p.next = p.next.Add(strangerEvery)
	wait := p.next.Sub(now)
	p.mu.Unlock()
	return pause(ctx, wait)
}
