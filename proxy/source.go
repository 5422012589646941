package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/proxy/candidates"
	"holdfast/proxy/recorder"
	"holdfast/proxy/sentinel"
	"holdfast/proxy/upstream"
)

// source finds the primary, and reports by topology.poke when that changes. Sentinels name it, or
// candidates say it of themselves. It is comparable, and safe for concurrent use.
type source interface {
	Start(ctx context.Context)
	Stop()
	// Await waits until a primary is known. The error says why none is at the end of ctx.
	Await(ctx context.Context) (primary string, err error)
	// Look has the servers asked for their roles now.
	Look()
	belief() belief
	// troubles lists a text for each problem.
	troubles() []string
}

// belief is the opinion of a source at one moment.
type belief struct {
	primary   string    // address; "": none is known
	why       string    // how it is known; "": votes and of say it
	doubt     string    // why primary may not be the primary for long; "": no doubt
	certain   bool      // primary is not believed to be the primary now
	handed    time.Time // when the old primary handed over to primary, which the sentinels do not name yet; zero: it did not
	deaf      string    // who names the primary is not heard, and may name another one; "": he is, or there is none to name
	votes, of int       // of sentinels
}

// bySentinels is a source.
type bySentinels struct{ *sentinel.Watcher }

func (s bySentinels) belief() belief {
	v := s.View()
	return belief{primary: v.Primary, doubt: v.Doubt, certain: v.Certain, handed: v.Handed, deaf: v.Deaf,
		votes: v.Votes, of: v.Of}
}

func (s bySentinels) troubles() []string { return s.View().Troubles() }

// byCandidates is a source.
type byCandidates struct{ *candidates.Watcher }

func (s byCandidates) belief() belief {
	v := s.View()
	return belief{primary: v.Primary, why: v.Why, doubt: v.Doubt, certain: v.Certain}
}

func (s byCandidates) troubles() []string { return s.View().Troubles() }

var (
	errNotNamed    = errors.New("the sentinels name no primary")
	errNoCandidate = errors.New("no candidate of upstream.address is the primary")
)

// hasSource reports whether Upstream.Address is found by a source.
func (o *Options) hasSource() bool { return o.Sentinels != nil || o.Candidates != nil }

// sourceKey is the key of the configuration that the source comes from.
func (o *Options) sourceKey() string {
	if o.Sentinels != nil {
		return "upstream.sentinels"
	}
	return "upstream.address"
}

// placeholder is the address and the dialer of an upstream without a primary.
func (o *Options) placeholder() (address string, dialer upstream.Dialer) {
	if o.Sentinels != nil {
		return o.Sentinels.Name, noPrimary{errNotNamed}
	}
	return strings.Join(o.Candidates.Addresses, " or "), noPrimary{errNoCandidate}
}

// newSource makes the source of options.
func (t *topology) newSource(o *Options) source {
	up := o.Upstream
	if o.Sentinels == nil {
		co := *o.Candidates
		co.Logger, co.OnChange = t.srv.log, func(*candidates.View) { t.poke() }
		co.Known = t.known(o)
		if co.Open == nil {
			// Half of the time in which the start waits for a primary: one that does not answer takes all of it.
			up.ConnectTimeout = min(time.Second, up.ConnectTimeout/2)
			co.Open = OpenCandidate(up)
		}
		return byCandidates{candidates.New(co)}
	}
	so := *o.Sentinels
	so.Logger, so.OnChange = t.srv.log, func(*sentinel.View) { t.poke(); t.feed.poke() }
	so.Standing = func(ctx context.Context, address string) (upstream.Standing, error) {
		return t.standing(ctx, up, address)
	}
	so.Timeout = min(time.Second, up.ConnectTimeout)
	return bySentinels{sentinel.New(so)}
}

// known is the primary among the candidates that a new source goes on with, by the first that knows one: the source
// in force, this process before it was to be replaced, the process that this one takes over from, and the journal. All
// but the journal have watched it until now.
func (t *topology) known(o *Options) *candidates.Known {
	if old, is := t.current().(byCandidates); is {
		return old.Known()
	}
	if o.Candidates.Known != nil {
		return o.Candidates.Known
	}
	if text, err := o.Claim.Upstream(); err != nil {
		t.srv.log.Warn("the process before does not say which candidate is the primary", "error", err)
	} else if len(text) > 0 {
		var k candidates.Known
		if err := json.Unmarshal(text, &k); err == nil && k.Lineage != nil {
			return &k
		}
	}
	return RecordedPrimary(o.Journal, t.srv.log)
}

// RecordedPrimary is the primary that a journal has followed last; nil: it has followed none, or cannot be read.
func RecordedPrimary(o recorder.Options, log *slog.Logger) *candidates.Known {
	if o.Dir == "" {
		return nil
	}
	v, err := journal.OpenView(o.FS, o.Dir)
	if err != nil {
		log.Debug("the journal does not say which candidate is the primary", "error", err)
		return nil
	}
	var ids []string
	server := ""
	for _, tl := range v.Timelines() {
		ids, server = append(ids, tl.ReplID), tl.Server
	}
	return candidates.Recorded(ids, server)
}

// forNext is the primary among the candidates in words for the process that takes over; nil: none is known.
func (t *topology) forNext() []byte {
	by, is := t.current().(byCandidates)
	if !is || by.Known() == nil {
		return nil
	}
	text, err := json.Marshal(by.Known())
	if err != nil {
		t.srv.log.Error("the primary among the candidates cannot be told", "error", err)
		return nil
	}
	return text
}

// OpenCandidate returns the Open of candidates.Options for servers that are reached as o says.
func OpenCandidate(o upstream.Options) func(context.Context, string) (candidates.Conn, error) {
	o.Dialer = nil
	return func(ctx context.Context, address string) (candidates.Conn, error) {
		at := o
		at.Address = address
		t, err := upstream.Open(ctx, at)
		if err != nil {
			return nil, err // and not a Conn that holds nil
		}
		return t, nil
	}
}

// sameSource reports whether the source of one would do for the other. It asks servers with the login
// of the upstream.
func sameSource(a, b *Options) bool {
	x, y := a.Upstream, b.Upstream
	return a.Sentinels.Same(b.Sentinels) && a.Candidates.Same(b.Candidates) && x.Username == y.Username &&
		x.Password == y.Password && x.TLS == y.TLS && x.ConnectTimeout == y.ConnectTimeout
}

// sentinels returns the Watcher of the sentinels; nil: no sentinels name the server.
func (t *topology) sentinels() *sentinel.Watcher {
	s, _ := t.current().(bySentinels)
	return s.Watcher
}
