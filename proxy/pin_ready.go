package proxy

// Some pinned links are kept ready, so that a command that needs one does not wait for a dial. A
// waiting command is overtaken: a client that subscribes, and publishes on another connection
// before the confirmation, gets the message from a server; it would miss it if the subscriber's
// link had to be dialled first.
//
// A few are kept for each protocol version and database that an identity's sessions used lately:
// more if these ran out, up to readyMax. They count as pinned links, and take at most half of their
// limit.

const (
	readyMax   = 32
	readyKinds = 4 // protocol versions and databases of one identity
	// readyFor is how long links of a kind are kept ready after its last use.
	readyFor = int64(60e9)
)

// readyPins is one kind of an identity's ready links.
type readyPins struct {
	proto uint8
	db    int32
	want  int
	used  int64 // loop time
	open  int   // being dialled
}

// readyFor returns the entry of a protocol version and a database, and marks it used.
func (i *identity) readyFor(proto uint8, db int32) *readyPins {
	now := i.w.loop.Now()
	oldest := 0
	for n, r := range i.ready {
		if r.proto == proto && r.db == db {
			r.used = now
			return r
		}
		if r.used < i.ready[oldest].used {
			oldest = n
		}
	}
	r := &readyPins{proto: proto, db: db, want: i.w.limits.ReadyLinks, used: now}
	if len(i.ready) < readyKinds {
		i.ready = append(i.ready, r)
	} else {
		i.ready[oldest] = r
	}
	return r
}

// took is called for each pinned link lent. If the one before has not been replaced yet, it raises
// the number to keep.
func (i *identity) took(s *session) {
	if i.w.limits.ReadyLinks == 0 {
		return
	}
	r := i.readyFor(s.proto, s.db)
	if i.atRest(r) < r.want-1 {
		r.want = min(2*r.want, readyMax)
	}
	i.fill(r)
}

// fill opens the missing links.
func (i *identity) fill(r *readyPins) {
	w := i.w
	n := r.open + i.atRest(r)
	for ; n < r.want && w.pins.made < w.limits.PinnedLinks/2; n++ {
		if i.refs == 0 || w.draining || w.outage.on || w.room.isTight() ||
			w.dialer.wait(w.loop.Now()) > 0 {
			return
		}
		l := i.openPin(r.proto, r.db, "")
		r.open++
		l.whenReady(func(l *link) {
			r.open--
			if !l.closed {
				i.rest(l)
			}
		})
	}
}

// atRest counts the links at rest of that kind.
func (i *identity) atRest(r *readyPins) (n int) {
	for _, l := range i.idle {
		if l.proto == r.proto && l.db == r.db {
			n++
		}
	}
	return n
}

// keepsReady reports whether a link at rest is among those to keep.
func (i *identity) keepsReady(l *link) bool {
	for _, r := range i.ready {
		if r.proto == l.proto && r.db == l.db {
			return i.refs > 0 && i.atRest(r) <= r.want
		}
	}
	return false
}

// keepReady runs once a second: it drops unused kinds, gradually lowers the number to keep, and
// replaces lost links.
func (i *identity) keepReady() {
	now := i.w.loop.Now()
	kept := i.ready[:0]
	for _, r := range i.ready {
		if r.open == 0 && (i.isLeft() || now-r.used > readyFor) {
			continue
		}
		if now-r.used > readyFor/6 {
			r.want = i.w.limits.ReadyLinks
		}
		i.fill(r)
		kept = append(kept, r)
	}
	clear(i.ready[len(kept):])
	i.ready = kept
}
