package page

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/admin"
)

// events splits the text of a stream.
func events(t testing.TB, text string) (kinds []string, updates []update) {
	t.Helper()
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		first, data, ok := strings.Cut(block, "\n")
		if kind, is := strings.CutPrefix(first, "event: "); ok && is && strings.HasPrefix(data, "data: ") && !strings.Contains(data, "\n") {
			kinds = append(kinds, kind)
			if kind == "part" {
				var u update
				if err := json.Unmarshal([]byte(data[len("data: "):]), &u); err != nil {
					t.Error(err)
				}
				updates = append(updates, u)
			}
		} else {
			t.Errorf("not an event: %q", block)
		}
	}
	return kinds, updates
}

// updates are those of the first look of a stream.
func (s *site) updates(who viewer) []update {
	s.t.Helper()
	f := &follower{page: s.page, id: s.cookies["holdfast"], who: who, sent: map[string][32]byte{}}
	text, _, err := f.next(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	_, list := events(s.t, string(text))
	if len(list) != len(parts) {
		s.t.Errorf("%d updates", len(list))
	}
	return list
}

// flow is a response that grows.
type flow struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (f *flow) SetReadDeadline(time.Time) error    { return nil }
func (f *flow) SetWriteDeadline(t time.Time) error { f.deadline = t; return nil }

// A stream sends everything once, then what has changed; it bounds each write, and ends with the login and with Close.
func TestStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		s := open(t, &fakeProxy{name: "ann", health: func(st *admin.Stats) { st.Upstream.Up = !down.Load() }})
		begin := func() (*flow, chan bool) {
			w, done := &flow{ResponseRecorder: httptest.NewRecorder()}, make(chan bool)
			go func() {
				s.page.ServeHTTP(w, s.request("/stream", nil))
				close(done)
			}()
			synctest.Wait()
			return w, done
		}
		w, done := begin()
		kinds, _ := events(t, w.Body.String())
		if len(kinds) != len(parts)+1 || kinds[len(parts)] != "look" {
			t.Errorf("first: %v", kinds)
		}
		if left := time.Until(w.deadline); left <= 0 || left > streamWrite {
			t.Errorf("the write may take %v", left)
		}
		w.Body.Reset()
		down.Store(true)
		time.Sleep(refresh)
		synctest.Wait()
		_, changed := events(t, w.Body.String())
		var names []string
		for _, u := range changed {
			names = append(names, u.Part)
		}
		if got := strings.Join(names, " "); got != "health line server" { // the line has the present time
			t.Errorf("changed: %s", got)
		}
		s.logIn()
		in, inDone := begin()
		s.do("/logout", map[string][]string{})
		time.Sleep(refresh)
		<-inDone
		if text := in.Body.String(); !strings.HasSuffix(text, "event: reload\ndata: {}\n\n") || strings.Count(text, "reload") != 1 {
			t.Errorf("after the logout: %q", text[max(0, len(text)-200):])
		}
		s.page.Close()
		<-done
	})
}

// Readers of one address leave room for others, and all together have a bound.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	var s streams
	hosts := []string{"a", "b", "c"}
	n := 0
	for _, h := range hosts {
		for range maxStreams {
			if s.enter(h) {
				n++
			}
		}
	}
	if n != maxStreams || s.host["a"] != maxHostStreams || s.host["b"] != maxHostStreams {
		t.Errorf("%d streams: %v", n, s.host)
	}
	s.leave("a")
	if !s.enter("c") || s.enter("c") {
		t.Error("a place that is free again")
	}
	for range maxHostStreams {
		s.leave("b")
	}
	if _, ok := s.host["b"]; ok {
		t.Error("an address without a stream is kept")
	}
	p := open(t, &fakeProxy{})
	p.page.streams.all = maxStreams
	p.want(p.do("/stream", nil), http.StatusServiceUnavailable)
}
