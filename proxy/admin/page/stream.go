package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	maxStreams     = 32 // open pages with updates
	maxHostStreams = 16 // of one address
	maxRenders     = 2  // pages made at the same time
	// streamWrite is how long a reader may take to take an update.
	streamWrite = 10 * time.Second
)

// streams counts the open streams, by address.
type streams struct {
	mu   sync.Mutex
	all  int
	host map[string]int
}

func (s *streams) enter(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.host[host] >= maxHostStreams {
		return false
	}
	if s.host == nil {
		s.host = map[string]int{}
	}
	s.all++
	s.host[host]++
	return true
}

func (s *streams) leave(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.host[host]--; s.host[host] == 0 {
		delete(s.host, host)
	}
}

// places bounds the requests that work at the same time.
type places chan struct{}

// enter waits for a place. The error is of ctx.
func (p places) enter(ctx context.Context) error {
	select {
	case p <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p places) leave() { <-p }

// update is the data of an event "part": HTML from a template, which escapes all names.
type update struct {
	Part string `json:"part"`
	HTML string `json:"html"`
}

// stream sends the changed parts of the page, and the time of each look, until the reader leaves.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	from := host(r)
	if !p.streams.enter(from) {
		http.Error(w, "too many pages are open; this one is not kept fresh", http.StatusServiceUnavailable)
		return
	}
	defer p.streams.leave(from)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.closed, cancel)()
	rc := http.NewResponseController(w)
	// The server's own limit is for requests. Where it cannot be lifted, the stream ends early, and the script
	// opens another.
	_ = rc.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	s := &follower{page: p, id: p.sessionOf(r), query: queryOf(r), sent: map[string][sha256.Size]byte{}}
	s.who = p.viewer(s.id, false)
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for {
		text, last, err := s.next(ctx)
		if err != nil {
			return
		}
		if rc.SetWriteDeadline(time.Now().Add(streamWrite)) != nil {
			return
		}
		if _, err := w.Write(text); err != nil || rc.Flush() != nil || last {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// follower is one reader's stream.
type follower struct {
	page  *Page
	id    string // of its session
	who   viewer
	query query
	sent  map[string][sha256.Size]byte // of each part, the HTML last sent
}

// next returns the events of one look. last: the reader's login has begun or ended, and it loads the page again.
func (s *follower) next(ctx context.Context) (text []byte, last bool, err error) {
	p := s.page
	if p.viewer(s.id, false) != s.who {
		return []byte("event: reload\ndata: {}\n\n"), true, nil
	}
	if err := p.renders.enter(ctx); err != nil {
		return nil, false, err
	}
	defer p.renders.leave()
	v, err := p.view(ctx, s.who, s.query, refresh/2)
	if err != nil {
		return nil, false, err
	}
	var out, html bytes.Buffer
	for _, part := range parts {
		html.Reset()
		if err := templates.ExecuteTemplate(&html, part, v); err != nil {
			p.log.Error("page: template", "name", part, "error", err)
			return nil, false, err
		}
		sum := sha256.Sum256(html.Bytes())
		if s.sent[part] == sum {
			continue
		}
		s.sent[part] = sum
		data, err := json.Marshal(update{part, html.String()})
		if err != nil {
			return nil, false, err
		}
		fmt.Fprintf(&out, "event: part\ndata: %s\n\n", data)
	}
	fmt.Fprintf(&out, "event: look\ndata: {\"at\":%q}\n\n", stamp(v.At))
	return out.Bytes(), false, nil
}
